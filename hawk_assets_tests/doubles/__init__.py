"""Stand-ins for cloud services that the real clients talk to over HTTP, with faults on demand."""
