"""Words of strangers, made fit for a column, a JSON document and a log line. One bad letter in Amazon's answer must not stop a
statement that settles five hundred endpoints."""


def quote(text: object, length: int) -> str:
    """The text on one line, without NUL and halves of characters (PostgreSQL takes neither), at most `length` characters long."""
    if text == "":  # nearly always
        return ""
    said = str(text)[: 4 * length].encode(errors="replace").decode()
    return " ".join("".join(letter if letter.isprintable() else " " for letter in said).split())[:length]
