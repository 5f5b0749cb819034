from edoccore.directory.remembering import Remembered


def test_what_is_remembered_is_made_once_and_the_newest_half_is_kept() -> None:
    made: list[int] = []
    remembered: Remembered[int, str] = Remembered(8)

    def get(key: int) -> str:
        return remembered.get(key, lambda: made.append(key) or str(key))  # type: ignore[func-returns-value]

    for key in range(100):
        assert get(key) == str(key)
        assert len(remembered._newer) + len(remembered._older) <= 8
    assert made == list(range(100))
    assert [get(key) for key in (96, 97, 98, 99)] == ["96", "97", "98", "99"]
    assert len(made) == 100
    get(0)
    assert made[-1] == 0


def test_what_is_used_again_stays() -> None:
    remembered: Remembered[int, str] = Remembered(8)
    remembered.put(0, "kept")
    for key in range(1, 50):
        remembered.put(key, "x")
        assert remembered.get(0, lambda: "made anew") == "kept"
