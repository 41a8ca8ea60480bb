# SPDX-License-Identifier: MIT
# Source files to snippets, one a line, newlines as "\001": "label TAB snippet". Comments, and the
# documentation of Python, are left out, so that a snippet is code and not English. After
# text.awk; -v label=LANGUAGE.

# Not a table of numbers.
function is_code(s,    blanks, n, letters) {
    n = length(s)
    blanks = gsub(/[ \001]/, "", s)
    letters = gsub(/[A-Za-z_]/, "", s)
    return letters > 0.5 * (n - blanks)
}

function emit() {
    if (length(snippet) >= 90 && length(snippet) <= 260 && lines >= 3 && is_code(snippet))
        print label "\t" snippet
    snippet = ""
    lines = 0
}
FNR == 1 { emit(); inside = 0 }
/[\200-\377\001]/ { next }
label == "python" {
    n = gsub(/"""/, "\"\"\"") + gsub(/'''/, "'''")
    if (n % 2 == 1) {
        inside = !inside
        next
    }
    if (n > 0)
        next
}
label == "cpp" || label == "go" {
    gsub(/\/\*[^*]*\*+\/|\/\/.*$/, "")
    if (inside && /\*\//) {
        inside = 0
        next
    }
    if (!inside && /\/\*/) {
        inside = 1
        next
    }
}
inside { next }
label != "cpp" && /^[ \t]*#/ { next }
/^[ \t]*$/ { next }
{
    sub(/[ \t]+$/, "")
    gsub(/\t/, "    ")
    if (length($0) > 120)
        next
    if (length(snippet) + length($0) > 240)
        emit()
    snippet = snippet (snippet == "" ? "" : "\001") $0
    lines++
}
END { emit() }
