"""What is broken in held text so that no program makes a link of it, and what is left as it is.

tests/reporting/test_links.py looks at whole reports.
"""

import pytest

from quarantine.mail.links import defanged


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("https://evil.example/a", "https[://]evil[.]example/a", id="url"),
        pytest.param("http:192.0.2.1", "http[:]192[.]0[.]2[.]1", id="url-without-slashes"),
        pytest.param("http:/evil.com", "http[:]/evil[.]com", id="url-with-one-slash"),
        pytest.param("http:\\\\evil.com", "http[:\\\\]evil[.]com", id="url-with-backslashes"),
        pytest.param("//host \\\\server\\share", "[//]host [\\\\]server\\share", id="host-and-share"),
        pytest.param("file:c:\\x news:x", "file[:]c[:]\\x news[:]x", id="schemes"),
        pytest.param("tel:110 tel:", "tel[:]110 tel[:]", id="scheme-with-nothing"),
        pytest.param("www.3evil.example", "www[.]3evil[.]example", id="label-of-a-digit"),
        pytest.param("www. ftp. WWW...x", "www[.] ftp[.] WWW[...]x", id="www-alone"),
        pytest.param("of.a.long.com", "of[.]a[.]long[.]com", id="label-of-a-letter"),
        pytest.param("e\u0301vil.c\u0327om", "e\u0301vil[.]c\u0327om", id="marks"),
        pytest.param("😀.com i❤.ws", "😀[.]com i❤[.]ws", id="emoji-domain"),
        pytest.param("пример.рф 例え.テスト", "пример[.]рф 例え[.]テスト", id="idn"),
        pytest.param(
            "evil。com 例え．jp пример．рф", "evil[。]com 例え[．]jp пример[．]рф", id="full-width-stops"
        ),
        pytest.param("localhost/x LocalHost", "local[host]/x Local[host]", id="localhost"),
        pytest.param("192.0.2.1/login", "192[.]0[.]2[.]1/login", id="ip"),
        pytest.param("192.168.100.200", "192_168_100_200", id="ip-of-many-digits"),
        pytest.param("[2001:db8::1] [::1]", "[2001[:]db8[::]1] [[::]1]", id="ipv6"),
        pytest.param("[1:2:3:4:5:6:7:8]", "[1[:]2[:]3[:]4[:]5[:]6[:]7[:]8]", id="ipv6-of-digits"),
        pytest.param("eve@evil.com eve＠evil.com", "eve[at]evil[.]com eve[at]evil[.]com", id="address"),
        pytest.param("@handle a @ b c@", "[at]handle a [at] b c[at]", id="at"),
        pytest.param("#tag C#x #1 # 1", "[#]tag C[#]x [#]1 # 1", id="topic"),
        pytest.param('"tel: 110" x: y', '"tel[:] 110" x[:] y', id="quoted-with-a-space"),
        pytest.param("<news: x>", "<news[:] x>", id="bracketed-with-a-space"),
        pytest.param("+49 30 1234567", "+49_30_1234_567", id="phone"),
        pytest.param("+1 (888) 555-0199", "+1_(888)_555_0199", id="phone-with-area"),
        pytest.param("(030)(123)4567", "(030)_(123)_4567", id="phone-of-brackets"),
        pytest.param("0301234567", "0301_234567", id="phone-of-digits"),
        pytest.param("12345678901234", "1234_5678_901234", id="long-number"),
        pytest.param("０３０１２３４５６７", "０３０１_２３４５６７", id="full-width-phone"),
        pytest.param("-----BEGIN PGP MESSAGE-----", "[-----]BEGIN PGP MESSAGE[-----]", id="armour"),
        pytest.param("________________", "[________________]", id="line"),
        pytest.param("--", "[--]", id="separator"),
        pytest.param("---", "[---]", id="longer-separator"),
    ],
)
def test_what_could_be_a_link_is_broken(text: str, shown: str) -> None:
    assert defanged(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Re: Your invoice. Paid!", id="sentence"),
        pytest.param("Paid... or not", id="dots"),
        pytest.param("z.B. heute, e.g. U.S.A. today", id="abbreviations"),
        pytest.param("at 10:30, 18:00:59 or 9:05-9:45", id="times"),
        pytest.param("am 24.12.2025 18:30 und 1.1.2026", id="german-dates"),
        pytest.param("2025-03-17 08:15, 12/24/2025", id="other-dates"),
        pytest.param("Invoice 2025-0317, INV-2025-0317, 2024/2025", id="number-with-a-year"),
        pytest.param("1.5 GB, 1.299,00 €, -0.5, 3.11.2", id="sums-and-versions"),
        pytest.param("123456 and 12 34 56", id="few-digits"),
        pytest.param("A // B -- C - D ___", id="lines"),
        pytest.param("会議。資料をお送りします。至急：件名:確認", id="japanese"),
        pytest.param("and/or A&B <b> c'd", id="signs"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_could_not_is_left_as_it_is(text: str) -> None:
    assert defanged(text) == text
