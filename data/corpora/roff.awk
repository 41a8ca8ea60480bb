# SPDX-License-Identifier: MIT
# Manual pages (man macros) to paragraphs, one a line: "label TAB paragraph". Code blocks, tables,
# headings and tags of lists are left out. After text.awk; -v label=NAME -v most=BYTES.

function escapes(s) {
    gsub(/\\f(\(..|\[[^]]*\]|.)/, "", s)
    gsub(/\\s[-+]?[0-9]/, "", s)
    gsub(/\\\*(\(..|\[[^]]*\]|.)/, "", s)
    gsub(/\\\(em|\\\[em\]/, " - ", s)
    gsub(/\\-|\\\(en|\\\[en\]|\\\(hy|\\\[hy\]|\\\(mi/, "-", s)
    gsub(/\\\(aq|\\\[aq\]|\\\(cq|\\\[cq\]|\\\(oq|\\\[oq\]|\\'|\\`/, "'", s)
    gsub(/\\\(dq|\\\[dq\]|\\\([lr]q|\\\[[lr]q\]/, "\"", s)
    gsub(/\\\((Fo|Fc)|\\\[(Fo|Fc)\]/, "\"", s)
    gsub(/\\\(ti|\\\[ti\]/, "~", s)
    gsub(/\\\(ha|\\\[ha\]/, "^", s)
    gsub(/\\\(rs|\\\[rs\]|\\e/, "/", s)
    gsub(/\\[ ~0]/, " ", s)
    gsub(/\\\(..|\\\[[^]]*\]/, "", s)
    gsub(/\\[&|^%:),\/c{}]/, "", s)
    gsub(/\\/, "", s)
    return s
}

# Arguments of a macro: "quoted ones" keep their blanks; joined by `by`.
function arguments(s, by,    out, n, c, i, quoted, word, some) {
    n = length(s)
    for (i = 1; i <= n + 1; i++) {
        c = i <= n ? substr(s, i, 1) : " "
        if (c == "\"") {
            quoted = !quoted
            some = 1
        } else if ((c == " " || c == "\t") && !quoted || i > n) {
            if (word != "" || some)
                out = out (out == "" ? "" : by) word
            word = ""
            some = 0
        } else if (c == "\\" && substr(s, i + 1, 1) == " ") {
            word = word "\\ "
            i++
        } else {
            word = word c
        }
    }
    return out
}

function emit(    s) {
    s = shorten(squeeze(escapes(paragraph)), most)
    paragraph = ""
    if (length(s) >= 60 && s ~ /^[A-Z\300-\377]/ && is_prose(s) && s !~ /[@|{}]|https?:|[Cc]opyright|License|GPL|Licencia|Lizenz|licen[cz]/)
        print label "\t" s
}

# Pages come one behind the other: each begins with its .TH.
/^\.TH/ { emit(); skip = ""; tag = 0; body = 0; next }
/^[.']\\"/ { next }
/^\.\.$/ { skip = ""; next }
skip != "" {
    if ($1 == skip)
        skip = ""
    next
}
/^[.'](de|ig|am)/ { skip = ".."; next }
/^\.(nf|EX|TS|Vb|ie|el)/ {
    emit()
    skip = $1 == ".nf" ? ".fi" : $1 == ".EX" ? ".EE" : $1 == ".TS" ? ".TE" : $1 == ".Vb" ? ".Ve" : ""
    next
}
/^\.(SH|SS|Sh)/ { emit(); body = 1; tag = 0; next }
!body { next }
/^\.(TP|TQ)/ { emit(); tag = 1; next }
/^\.(PP|P|LP|IP|HP|RS|RE|sp|br|Sp|IX|B1|B2)/ || /^[ \t]*$/ { emit(); tag = 0; next }
tag { if (!/^\.(PD|TP)/) tag = 0; next }
/^\.(B|I|SM|SB|R) / { paragraph = paragraph " " arguments(substr($0, index($0, " ") + 1), " "); next }
/^\.(BR|RB|IR|RI|BI|IB) / { paragraph = paragraph " " arguments(substr($0, index($0, " ") + 1), ""); next }
/^[.']/ { next }
/^[ \t]/ { emit(); next }
{ paragraph = paragraph " " $0 }
END { emit() }
