"""Media types: what a body is said to be, and which of several a client takes.

`Content-Type` and `Accept`, as RFC 9110 has them in sections 8.3 and 12.5.1.
"""

from collections.abc import Sequence

from fastapi import Request


def media_type(request: Request) -> str:
    """Of the request's body, without parameters and in lower case; empty if it does not say."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def preferred(accept: str, offers: Sequence[str]) -> str | None:
    """The media type that the client likes best, the first of those it likes equally.

    None if it takes none of them. Parameters such as `charset` do not matter. What is not written
    as it should be says nothing; who says nothing takes anything.
    """
    weights = _weights(accept) or {"*/*": 1.0}

    def weight(offer: str) -> float:
        ranges = (offer, f"{offer.partition('/')[0]}/*", "*/*")
        return next((weights[name] for name in ranges if name in weights), 0)

    best = max(offers, key=weight)
    return best if weight(best) else None


def _weights(accept: str) -> dict[str, float]:
    """Of each media range that is named."""
    weights = {}
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        value = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            weight = float(value)
        except ValueError:
            continue
        if "/" in name and 0 <= weight <= 1:
            weights[name] = weight
    return weights
