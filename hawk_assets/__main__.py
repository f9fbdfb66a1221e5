"""The entry point of the ``hawk`` command, and ``python -m hawk_assets``."""

from hawk_assets.orchestration.interrupts import end_process, received, recording


def main() -> None:
    """Ctrl-C counts from here on: also while the command is being imported."""
    with recording():
        try:
            from hawk_assets.cli import run

            code = run()
        except BaseException:
            if not received():
                raise
            code = 1
        end_process(code)


if __name__ == "__main__":
    main()
