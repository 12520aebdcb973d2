"""reduction.py: the lines that a reader would see, beside what an HTML5 parser makes of a page."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from justhtml import JustHTML

from quarantine.previewing.reduction import reduce_html


def lines(page: str) -> list[str]:
    return [line for line in (" ".join(each.split()) for each in reduce_html(page)) if line]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("a\n b", ["a b"], id="text"),
        pytest.param("a<br>b<BR/>c", ["a", "b", "c"], id="line ends"),
        pytest.param("<p>a<p>b</p>c<div>d</div>e", ["a", "b", "c", "d", "e"], id="blocks"),
        pytest.param("a<b>b</b><i>c</i>", ["abc"], id="inline"),
        pytest.param("<table><tr><td>a<td>b<tr><th>c</table>d", ["a b", "c", "d"], id="a table"),
        pytest.param("<ul><li>a<li>b</ul><ol><li>c</ol>", ["- a", "- b", "- c"], id="lists"),
        pytest.param("<pre>a\n  b</pre>\nc\nd", ["a", "b", "c d"], id="preformatted"),
        pytest.param("</pre><pre>a\nb", ["a", "b"], id="preformatted, not closed"),
        pytest.param("a<script>b</script>c<style>d</style>e<title>f</title>", ["ace"], id="not shown"),
        pytest.param("<script><b></script x>a</SCRIPT >", ["a"], id="the end of a script"),
        pytest.param("a<script>b</scripty>c", ["a"], id="a script that does not end"),
        pytest.param("<textarea><b>&amp;</textarea>c", ["<b>&c"], id="a text field"),
        pytest.param("<textarea>a", ["a"], id="a text field that does not end"),
        pytest.param(
            "<iframe>a</iframe><noembed>b</noembed><noframes>c</noframes><xmp>d</xmp>e", ["e"], id="raw"
        ),
        pytest.param("<noscript>a</noscript>", ["a"], id="without scripts"),
        pytest.param("a<plaintext><b>b</b>&amp;", ["a<b>b</b>&amp;"], id="plaintext"),
        pytest.param("a<!-- b -->c<!-->d--><!--->e<!--f--!>g<!-- -- > h -->i", ["acd-->egi"], id="comments"),
        pytest.param("a<!--b", ["a"], id="a comment that does not end"),
        pytest.param("<!--[if mso]>a<![endif]-->b<![if !mso]>c<![endif]>", ["bc"], id="conditional comments"),
        pytest.param("<!doctype html><?xml a?>a</ b>c</>d", ["acd"], id="bogus comments"),
        pytest.param("a < b <3 <> <<b>c</b> <", ["a < b <3 <> <c <"], id="signs"),
        pytest.param(
            "<a title='>'>a</a><a title=\">\">b</a><a title=>c</a>", ["abc"], id="brackets in values"
        ),
        pytest.param('<a "b>c</a>', ["c"], id="a quotation mark in a name"),
        pytest.param("<a title='b>c</a>", [], id="a value that does not end"),
        pytest.param("a<b", ["a"], id="a tag that does not end"),
        pytest.param(
            "&lt;b&gt; &amp; &copy &#65;&#x42; &#128; &nosuch; &",
            ["<b> & © AB € &nosuch; &"],
            id="references",
        ),
        pytest.param(
            "&#0000000065;&#99999999;&#xFFFFFFFFF;&#" + "9" * 5_000 + ";",
            ["A\ufffd\ufffd\ufffd"],
            id="numbers",
        ),
        pytest.param('a<img src=x alt="L &amp; M">b<img src=x>c', ["a L & M b c"], id="pictures"),
        pytest.param("<option>a<option>b<button>c</button>", ["a", "bc"], id="forms"),
    ],
)
def test_what_is_seen(page: str, expected: list[str]) -> None:
    assert lines(page) == expected


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        pytest.param("<div hidden>a<div>b</div>c</div>d", ["d"], id="hidden"),
        pytest.param("<div hidden>a<br>b", [], id="hidden to the end"),
        pytest.param("<span style='Display : None'>a</span>b", ["b"], id="display"),
        pytest.param("<span style='color:red;visibility:hidden'>a</span>b", ["b"], id="visibility"),
        pytest.param("<span style='font-size:0px;x:y'>a</span>b", ["b"], id="font-size"),
        pytest.param("<span style='font-size:0'>a</span>b", ["b"], id="font-size without a unit"),
        pytest.param("<span style='opacity:0.0 !important'>a</span>b", ["b"], id="opacity"),
        pytest.param("<span style='opacity:0.5'>a</span>b", ["ab"], id="opacity of a half"),
        pytest.param("<span style='font-size:09px'>a</span>b", ["ab"], id="a small font"),
        pytest.param("<span style='mso-hide:all'>a</span>b", ["b"], id="Outlook"),
        pytest.param("<span style='&#100;isplay:none'>a</span>b", ["b"], id="a reference in a style"),
        pytest.param("<span style=a style=display:none>a</span>b", ["ab"], id="the first of two attributes"),
        pytest.param("<template>a</template>b", ["b"], id="a template"),
        pytest.param("<p hidden>a<p>b", ["b"], id="a paragraph ends at the next"),
        pytest.param("<p hidden>a<br>b<div>c</div>", ["c"], id="a paragraph ends at a block"),
        pytest.param("<tr><td hidden>a<td>b<tr>c", ["b", "c"], id="a cell ends at the next"),
        pytest.param("<ul><li hidden>a<li>b</ul>", ["- b"], id="an item ends at the next"),
        pytest.param("<br hidden>a<img hidden alt=b>", ["a b"], id="what has no content hides none"),
        pytest.param("<i hidden><script></i></script>a</i>b", ["b"], id="an end tag in a script"),
        pytest.param("<textarea hidden>a</textarea>b", ["ab"], id="a text field"),
    ],
)
def test_what_is_hidden(page: str, expected: list[str]) -> None:
    assert lines(page) == expected


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        pytest.param("<a href='https://evil.example/x'>Pay</a> now", ["Pay (evil.example) now"], id="a link"),
        pytest.param(
            "<a href=http://evil.example>http://evil.example/y</a>", ["http://evil.example/y"], id="named"
        ),
        pytest.param(
            "<a href=//Evil.example>bank.example</a>", ["bank.example (evil.example)"], id="another name"
        ),
        pytest.param(
            "<a href='https://bank.example@evil.example:8/'>a</a>", ["a (evil.example)"], id="a user"
        ),
        pytest.param(
            "<a href=' ht\ntp:\\\\evil.example'>a</a>", ["a (evil.example)"], id="as a browser reads it"
        ),
        pytest.param("<a href=https://&#101;vil.example>a</a>", ["a (evil.example)"], id="a reference"),
        pytest.param(
            "<a href=https://b&uuml;cher.example>a</a>", ["a (xn--bcher-kva.example)"], id="A-labels"
        ),
        pytest.param("<a href=https://..>a</a>", ["a (..)"], id="not a domain"),
        pytest.param("<a href=https:///x>a</a>", ["a (x)"], id="three slashes"),
        pytest.param(
            "<a href=mailto:a@b.example>a</a><a href=#b>c</a><a>d</a>", ["acd"], id="not to the web"
        ),
        pytest.param(
            "<a href=//a.example>a<a href=//b.example>b", ["a (a.example)b (b.example)"], id="not closed"
        ),
        pytest.param("<a href=//a.example><img src=x></a>", ["(a.example)"], id="a picture"),
        pytest.param("<a href=//a.example>a<p>b</a>", ["a", "b (a.example)"], id="over two lines"),
    ],
)
def test_links(page: str, expected: list[str]) -> None:
    assert lines(page) == expected


# --- Beside a parser that does what browsers do ---

PIECES = st.sampled_from(
    [
        *(
            "word",
            " ",
            "\n",
            "<",
            ">",
            "&",
            "&lt;",
            "&#65;",
            "&#x3c;b&gt;",
            "'",
            '"',
            "=",
            "/",
            "!",
            "-->",
            "--!>",
        ),
        *(
            "<p>",
            "</p>",
            "<b>",
            "</b>",
            "<i x='>'>",
            '<i x=">">',
            "<i x=y/>",
            "<br>",
            "<br/>",
            "<div",
            "</div x>",
        ),
        *(
            "<!--",
            "<!-->",
            "<!-- x -->",
            "<!x>",
            "<?x>",
            "</>",
            "</ x>",
            "<script>",
            "</script>",
            "</SCRIPT x>",
        ),
        *(
            "<style>",
            "</style>",
            "<title>",
            "</title>",
            "<textarea>",
            "</textarea>",
            "<a b",
            " c=d",
            ' e="',
            " f='",
        ),
    ]
)


@given(page=st.lists(PIECES, max_size=30).map("".join))
def test_the_words_are_those_that_a_parser_of_html5_finds(page: str) -> None:
    found = JustHTML(f"<!doctype html><body>{page}", sanitize=False)
    for element in found.query("script, style, title"):
        element.parent.remove_child(element)  # type: ignore[union-attr]
    expected = found.to_text(separator="", strip=False)
    assert re.sub(r"\s", "", "".join(reduce_html(page))) == re.sub(r"\s", "", expected)


@given(page=st.text() | st.lists(PIECES, max_size=30).map("".join))
def test_any_page_is_reduced(page: str) -> None:
    assert sum(map(len, reduce_html(page))) <= 2 * len(page) + 100
