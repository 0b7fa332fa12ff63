"""Loaded by schemathesis (SCHEMATHESIS_HOOKS): every request comes from an address of its own, as the proxy on loopback would
vouch for it. With one address for all, its limit for requests without a token would hide every other answer."""

import itertools

import schemathesis

numbers = itertools.count(1)


@schemathesis.hook
def before_call(context, case, kwargs):
    number = next(numbers)
    case.headers = {**(case.headers or {}), "X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}
