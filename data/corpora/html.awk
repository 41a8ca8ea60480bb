# SPDX-License-Identifier: MIT
# HTML pages of PostgreSQL's manual to JSON lines, one page a document: paragraphs and list items,
# a line each; program listings, tables and navigation left out. After text.awk.

function plain(s) {
    gsub(/<[^>]*>/, "", s)
    s = typewriter(s)
    gsub(/&#160;|&nbsp;/, " ", s)
    gsub(/&#8220;|&#8221;|&quot;/, "\"", s)
    gsub(/&#8216;|&#8217;/, "'", s)
    gsub(/&#8212;|&#8211;/, "-", s)
    gsub(/&#8230;/, "...", s)
    gsub(/&lt;/, "<", s)
    gsub(/&gt;/, ">", s)
    gsub(/&[#a-zA-Z0-9]+;/, "", s)
    return squeeze(s)
}

function flush_page(    key) {
    if (length(page) > 400) {
        count++
        print json(page)
    }
    page = ""
}

FNR == 1 { flush_page(); text = ""; drop = 0 }
{
    # Whole elements are told apart line by line: the pages are machine-made and regular.
    line = $0 "\n"
    while (match(line, /<[^>]*>?/)) {
        before = substr(line, 1, RSTART - 1)
        element = substr(line, RSTART, RLENGTH)
        line = substr(line, RSTART + RLENGTH)
        if (!drop)
            text = text before
        name = tolower(element)
        if (name ~ /^<(pre|table|h[1-6]|head|script|style)[ >]/)
            drop++
        else if (name ~ /^<\/(pre|table|h[1-6]|head|script|style)>/ && drop > 0)
            drop--
        if (name ~ /^<\/?(p|li|dd|dt|div|pre|table|h[1-6])[ >]/ && !drop || name ~ /^<(pre|table|h[1-6])[ >]/) {
            paragraph = plain(text)
            text = ""
            if (length(paragraph) > 50 && is_prose(paragraph))
                page = page (page == "" ? "" : "\n") paragraph
        }
    }
    if (!drop)
        text = text line
}
END { flush_page() }
