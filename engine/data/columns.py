"""Which columns hold the text (or a pair of texts) and the label: as named by the user, or guessed from usual names."""

from collections.abc import Mapping

from datasets import ClassLabel, Json, Value

from ..errors import Either, LossAuditError, Option, Part
from .fields import with_fields
from .names import LABEL_NAMES, PAIRS, TEXT_NAMES


def find_text_column(
    features: Mapping[str, object], asked: str | None, label_column: str | None, pair_column: str | None = None
) -> str:
    """The name of the text column; for pairs, whose second texts are in `pair_column`, that of the first texts.

    Raises LossAuditError, listing the columns, if there is none, it holds no text, or all there are is halves of pairs.
    """
    if asked is not None:
        name = _checked_text(features, asked, "text_column", label_column)
        if name == pair_column:
            raise LossAuditError(
                f"column {name!r} can't be both texts of a pair; name another with ", Option("text_column")
            )
        return name
    others = [name for name in features if name not in (label_column, pair_column)]
    texts = [name for name in others if _is_text(features[name])]
    # A column with a usual name counts even if it is empty: then no row has a text.
    empty = [name for name in others if _is_nothing(features[name])]
    usual = _first_of(TEXT_NAMES, texts) or _first_of(TEXT_NAMES, empty)
    # A column of several types counts as the text only if its name says so: most hold metadata.
    strings = [name for name in texts if not isinstance(features[name], Json)]
    if pair_column is not None:
        usual = _first_of(tuple(a for a, b in PAIRS if b == _plain(pair_column)), texts) or usual
    elif pair := _pair_among(texts, usual):
        raise LossAuditError(
            f"columns {pair[0]!r} and {pair[1]!r} look like pairs of texts; name them with ",
            Option("text_column", pair[0]),
            Either(", ", " "),
            Option("text_pair_column", pair[1]),
            ", or a single text with ",
            Option("text_column"),
        )
    if usual is None and len(strings) == 1:
        usual = strings[0]
    if usual is None:
        raise LossAuditError("can't tell which column holds the text; ", *_choose(features, "text_column"))
    return usual


def find_text_pair_column(features: Mapping[str, object], asked: str, label_column: str | None) -> str:
    """The column of a name. Raises LossAuditError if there is none, or it can't hold the second texts of pairs."""
    return _checked_text(features, asked, "text_pair_column", label_column)


def find_label_column(features: Mapping[str, object], asked: str | None) -> str:
    """The name of the label column. Raises LossAuditError, listing the columns, if it can't be found."""
    if asked is not None:
        return _without_fields(features, _existing(features, asked, "label_column"), "label_column")
    classes = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
    usual = _first_of(LABEL_NAMES, classes) or _first_of(LABEL_NAMES, list(features))
    if usual is None and len(classes) == 1:
        usual = classes[0]
    if usual is None:
        raise LossAuditError("can't tell which column holds the label; ", *_choose(features, "label_column"))
    return _without_fields(features, usual, "label_column")


def other_label_columns(features: Mapping[str, object], taken: str) -> list[str]:
    """The columns that might hold the labels too: they are called so, as `label_text` is, or name their classes."""
    others = [name for name in features if name != taken]
    return [name for name in others if isinstance(features[name], ClassLabel) or _is_called_label(name)]


def _is_called_label(name: str) -> bool:
    plain = _plain(name)
    return plain in LABEL_NAMES or any(plain.startswith(f"{usual}_") for usual in LABEL_NAMES)


def _first_of(usual: tuple[str, ...], names: list[str]) -> str | None:
    by_plain_name = {_plain(name): name for name in reversed(names)}
    return next((by_plain_name[name] for name in usual if name in by_plain_name), None)


def _plain(name: str) -> str:
    return name.strip().lower()


def _pair_among(texts: list[str], guess: str | None) -> tuple[str, str] | None:
    """Two columns named like the halves of pairs, unless the text is guessed to be in a third one."""
    for pair in PAIRS:
        first, second = (_first_of((half,), texts) for half in pair)
        if first is not None and second is not None and guess in (None, first, second):
            return first, second
    return None


def _checked_text(features: Mapping[str, object], asked: str, option: str, label_column: str | None) -> str:
    name = _without_fields(features, _existing(features, asked, option), option)
    feature = features[name]
    if not _is_text(feature) and not _is_nothing(feature):
        raise LossAuditError(f"column {name!r} holds {_kind(feature)}, not text; name another with ", Option(option))
    if name == label_column:
        raise LossAuditError(
            f"column {name!r} can't be both text and label; name the label with ", Option("label_column")
        )
    return name


def _existing(features: Mapping[str, object], name: str, option: str) -> str:
    """The column of a name, or the only one whose name differs just in blanks around it."""
    found = [name] if name in features else [other for other in features if other.strip() == name.strip()]
    if len(found) != 1:
        raise LossAuditError(f"there is no column {name!r}; ", *_choose(features, option))
    return found[0]


def _without_fields(features: Mapping[str, object], name: str, option: str) -> str:
    """The name of a column. Raises LossAuditError, listing its fields, if it holds objects."""
    fields = [field for field in with_fields({name: features[name]}) if field != name]
    if fields:
        raise LossAuditError(
            f"column {name!r} holds objects; name one of their fields with ", Option(option), f": {', '.join(fields)}"
        )
    return name


def _choose(features: Mapping[str, object], option: str) -> tuple[Part, ...]:
    return "name one with ", Option(option), f": {', '.join(map(repr, with_fields(features)))}"


def _is_text(feature: object) -> bool:
    """Whether it holds strings, or values of several types, of which some may be strings."""
    return isinstance(feature, Json) or (isinstance(feature, Value) and feature.dtype in ("string", "large_string"))


def _is_nothing(feature: object) -> bool:
    return isinstance(feature, Value) and feature.dtype == "null"


def _kind(feature: object) -> str:
    return str(feature.dtype) if isinstance(feature, Value) else type(feature).__name__
