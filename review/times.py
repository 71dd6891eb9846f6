"""Times of decisions: ISO 8601 in UTC, to the microsecond, so that they sort as texts."""

from datetime import UTC, datetime, timedelta


def as_stored(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def in_utc(made_at: str) -> str:
    """A time in another form."""
    return as_stored(datetime.fromisoformat(made_at))


def after(made_at: str, latest: str | None) -> str:
    """The stored time `made_at`, or one just after `latest`, if that isn't earlier."""
    if latest is None or latest < made_at:
        return made_at
    return as_stored(datetime.fromisoformat(latest) + timedelta(microseconds=1))
