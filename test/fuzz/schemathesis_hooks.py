"""Loaded by schemathesis (SCHEMATHESIS_HOOKS)."""

import itertools

import schemathesis

numbers = itertools.count(1)


def from_another_address(request):
    number = next(numbers)
    request.headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return request


@schemathesis.hook
def before_call(context, case, kwargs):
    """Every request comes from an address of its own, as a proxy on loopback would vouch for it: with one for all, the limit
    for requests without a token would hide every other answer. Said to the transport and not in the case, whose judge takes a
    header that was added for one that it did not leave out."""
    kwargs["auth"] = from_another_address


@schemathesis.hook
def filter_query(context, query):
    """A head of more than 8 KiB is refused as HTTP (431), whatever operation it was for."""
    return len(str(query).encode("unicode_escape")) < 2_000
