"""Classes by number or by name."""

from __future__ import annotations

import pytest

from gan_lightning.utils.class_names import class_numbers, class_words, numbered


def test_names_and_numbers_mix():
    assert class_numbers("classes", ["dog", 0, "red fox"], ("cat", "dog", "red fox")) == [1, 0, 2]
    assert class_numbers("classes", [3, 1], None) == [3, 1]


@pytest.mark.parametrize(
    ("classes", "names", "sentence"),
    [
        (["fox"], ["cat", "dog"], r"there is no class fox: choose classes from cat \(0\), dog \(1\)"),
        (["cat"], None, "each class in classes must be a whole number of at least 0, not 'cat'"),
        ([-1], ["cat"], "must be a whole number of at least 0, not -1"),
        ([True], ["cat"], "must be a whole number"),
        ([1.0], ["cat"], "must be a whole number"),
        ("cat", ["cat"], r"must be a list of classes, such as classes=\[0\], not 'cat'"),
        ([], ["cat"], "must be a list of classes"),
    ],
)
def test_what_is_no_class_is_named(classes: object, names: list[str] | None, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        class_numbers("classes", classes, names)


def test_messages_name_the_first_of_many():
    names = [f"n{label}" for label in range(30)]
    assert numbered(names).endswith("n19 (19), ...")
    assert class_words([2, 0], names) == ["n2", "n0"]
    assert class_words([2, 0], None) == ["2", "0"]
