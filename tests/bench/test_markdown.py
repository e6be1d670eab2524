from bench import markdown


def test_names_stand_left_and_numbers_right() -> None:
    assert markdown.table(["way", "s"], [["lame", "0.1"], ["ffmpeg", "12"]]).splitlines() == [
        "| way    |   s |",
        "| ------ | --: |",
        "| lame   | 0.1 |",
        "| ffmpeg |  12 |",
    ]


def test_quantities_have_the_digits_that_mean_something() -> None:
    assert markdown.seconds(0.04712) == "0.047 s"
    assert markdown.seconds(31.4159) == "31.42 s"
    assert markdown.milliseconds(0.00123) == "1.2 ms"
    assert markdown.milliseconds(1.2345) == "1,234 ms"
    assert markdown.megabytes(3_900_400_000) == "3,900 MB"
