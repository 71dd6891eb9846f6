"""Usual names of columns. This module imports nothing, since `top` reads it too."""

TEXT_NAMES = ("text", "sentence", "content", "document", "review", "question", "description", "body", "title")
"""Usual names of the text column, the likeliest first."""
LABEL_NAMES = ("label", "labels", "class", "category", "target", "topic", "sentiment", "intent", "y")
PAIRS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("sentence_a", "sentence_b"),
    ("question1", "question2"),
    ("question_1", "question_2"),
    ("text1", "text2"),
    ("text_1", "text_2"),
    ("text_a", "text_b"),
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "context"),
    ("question", "answer"),
    ("query", "document"),
    ("query", "passage"),
    ("claim", "evidence"),
)
"""Usual names of the columns of text pairs."""
