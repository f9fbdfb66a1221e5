"""The futures contract whose commitments of traders are used for a ticker.

CFTC contract market codes, as strings: names change ("U.S. TREASURY BONDS" became "UST BOND"),
codes do not. A fund that follows no single contract is absent, and gets no report.
"""

CONTRACTS = {
    "SPY": "13874A",  # E-mini S&P 500
    "QQQ": "209742",  # E-mini Nasdaq-100
    "IWM": "239742",  # E-mini Russell 2000
    "GLD": "088691",  # gold
    "SLV": "084691",  # silver
    "USO": "067651",  # WTI crude oil
    "UNG": "023651",  # Henry Hub natural gas
    "TLT": "020601",  # US Treasury bonds
    "IEI": "044601",  # five-year US Treasury notes
    "SHY": "042601",  # two-year US Treasury notes
    "IBIT": "133741",  # bitcoin
    "ETHA": "146021",  # ether
    "VIXY": "1170E1",  # VIX
}
