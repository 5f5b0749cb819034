"""What a loop says of an error that it does not know, raised while it judged one document.

Such an error is a fault of this program, or of a library that it uses, and it is the document that
meets it: the loop sets that one aside, durably, and goes on with the others. Never so a disk that
failed, which stops the node, and a disk that is full, which is waited for. MemoryError is no
exception: a node that ended for it would meet the same document again at its next start.
"""

MOST_SAID = 200  # characters of an error


def in_few_words(error: Exception) -> str:
    """The kind and text of an error for an administrator, one line; its traceback is in the log."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return "".join(letter if letter.isprintable() else " " for letter in text[:MOST_SAID])
