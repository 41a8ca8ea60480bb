# SPDX-License-Identifier: MIT
# Functions shared by the recipes. Bytes, not characters: run with LC_ALL=C.

# A number that depends on the text alone; stands in for a random draw.
function hash(s,    h, i, n) {
    if (!("A" in ORD))
        for (i = 1; i < 256; i++)
            ORD[sprintf("%c", i)] = i
    h = 7
    n = length(s)
    for (i = 1; i <= n; i++)
        h = (h * 131 + ORD[substr(s, i, 1)]) % 2147483647
    return h
}

# Typographic quotes and dashes as typewriters have them, as in the model's own training text.
function typewriter(s) {
    gsub(/\342\200[\234\235]/, "\"", s)
    gsub(/\342\200[\230\231]/, "'", s)
    gsub(/\342\200[\223\224]/, "-", s)
    gsub(/\342\200\246/, "...", s)
    gsub(/\302\240/, " ", s)
    gsub(/\302\255/, "", s)
    return s
}

# One line, single blanks.
function squeeze(s) {
    gsub(/[ \t\r\n]+/, " ", s)
    sub(/^ /, "", s)
    sub(/ $/, "", s)
    return s
}

# At most `most` bytes, cut after a sentence where one ends in the second half, else at a blank.
function shorten(s, most,    i) {
    if (length(s) <= most)
        return s
    for (i = most; i > most / 2; i--)
        if (substr(s, i, 2) ~ /^[.?!;] $/)
            return substr(s, 1, i)
    for (i = most; i > most / 2; i--)
        if (substr(s, i, 1) == " ")
            return substr(s, 1, i - 1)
    return ""
}

# Words of a language rather than tables, code or lists of names.
function is_prose(s,    t, letters, words) {
    t = s
    letters = gsub(/[A-Za-z\200-\377]/, "", t)
    t = s
    words = gsub(/ /, "", t) + 1
    return letters >= 0.72 * length(s) && words >= 8 && length(s) / words < 11
}

function json(s) {
    gsub(/[\\"]/, "\\\\&", s)
    gsub(/\t/, "\\t", s)
    gsub(/\n/, "\\n", s)
    gsub(/[\001-\037]/, "", s)
    return "\"" s "\""
}

function csv(s) {
    gsub(/"/, "\"\"", s)
    return "\"" s "\""
}
