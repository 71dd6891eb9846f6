"""Which column holds the text and which the label: as named by the user, or guessed from the usual names."""

from collections.abc import Mapping

from datasets import ClassLabel, Json, Value

from lossaudit.engine.errors import LossAuditError
from lossaudit.engine.table import TEXT_NAMES

LABEL_NAMES = ("label", "labels", "class", "category", "target", "topic", "sentiment", "intent", "y")


def find_text_column(features: Mapping[str, object], asked: str | None, label_column: str) -> str:
    """The text column's name. Raises LossAuditError, which lists the columns, if there is none or no text in it."""
    if asked is not None:
        name = _existing(features, asked, "--text-column")
        if not _is_text(features[name]) and not _is_nothing(features[name]):
            raise LossAuditError(
                f"column {name!r} holds {_kind(features[name])}, not text; name another with --text-column"
            )
        if name == label_column:
            raise LossAuditError(f"column {name!r} can't be text and label both; name the label with --label-column")
        return name
    texts = [name for name, feature in features.items() if name != label_column and _is_text(feature)]
    # A column named so that holds nothing is meant all the same: every row is without a text then.
    empty = [name for name, feature in features.items() if name != label_column and _is_nothing(feature)]
    usual = _first_of(TEXT_NAMES, texts) or _first_of(TEXT_NAMES, empty)
    # A column of several types is taken for the text by its name alone: it is mostly metadata.
    strings = [name for name in texts if not isinstance(features[name], Json)]
    if usual is None and len(strings) == 1:
        usual = strings[0]
    if usual is None:
        raise LossAuditError(f"can't tell which column holds the text; {_choose(features, '--text-column')}")
    return usual


def find_label_column(features: Mapping[str, object], asked: str | None) -> str:
    """The label column's name. Raises LossAuditError, which lists the columns, if it can't be told."""
    if asked is not None:
        return _existing(features, asked, "--label-column")
    classes = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
    usual = _first_of(LABEL_NAMES, classes) or _first_of(LABEL_NAMES, list(features))
    if usual is None and len(classes) == 1:
        usual = classes[0]
    if usual is None:
        raise LossAuditError(f"can't tell which column holds the label; {_choose(features, '--label-column')}")
    return usual


def _first_of(usual: tuple[str, ...], names: list[str]) -> str | None:
    by_lower_case = {name.strip().lower(): name for name in reversed(names)}
    return next((by_lower_case[name] for name in usual if name in by_lower_case), None)


def _existing(features: Mapping[str, object], name: str, option: str) -> str:
    if name not in features:
        raise LossAuditError(f"there is no column {name!r}; {_choose(features, option)}")
    return name


def _choose(features: Mapping[str, object], option: str) -> str:
    return f"name one with {option}: {', '.join(features)}"


def _is_text(feature: object) -> bool:
    """Strings, or values of several types, of which some may be strings."""
    return isinstance(feature, Json) or (isinstance(feature, Value) and feature.dtype in ("string", "large_string"))


def _is_nothing(feature: object) -> bool:
    return isinstance(feature, Value) and feature.dtype == "null"


def _kind(feature: object) -> str:
    return str(feature.dtype) if isinstance(feature, Value) else type(feature).__name__
