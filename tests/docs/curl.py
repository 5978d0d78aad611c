"""A ``curl`` for machines that have none: the few options that the documentation uses, and no others."""

from __future__ import annotations

import argparse
import sys

import httpx

parser = argparse.ArgumentParser(prog="curl", allow_abbrev=False)
parser.add_argument("url")
parser.add_argument("-s", action="store_true")
parser.add_argument("-X", dest="method", default="GET")
parser.add_argument("-H", dest="headers", action="append", default=[])
parser.add_argument("-d", dest="data")
asked = parser.parse_args()
headers = dict(header.split(": ", 1) for header in asked.headers)
with httpx.Client(trust_env=False) as client:
    method = "POST" if asked.data is not None and asked.method == "GET" else asked.method
    sys.stdout.write(client.request(method, asked.url, headers=headers, content=asked.data).text)
