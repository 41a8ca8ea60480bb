# The lines of bench_cuda, bench_paths, bench_lm and their peers as Markdown tables of medians, with the
# least and largest of the repeats in parentheses.
function order(text, a,    n, i, j, v) {
    n = split(text, a, " ")
    for (i = 2; i <= n; i++) {
        v = a[i] + 0
        for (j = i - 1; j > 0 && a[j] + 0 > v; j--)
            a[j + 1] = a[j]
        a[j + 1] = v
    }
    return n
}
function median(key,    a, n) {
    if (!(key in value))
        return 0
    n = order(value[key], a)
    return a[int((n + 1) / 2)] + 0
}
function spread(key,    a, n) {
    if (!(key in value))
        return "-"
    n = order(value[key], a)
    return sprintf("%.4g (%.4g to %.4g)", a[int((n + 1) / 2)], a[1], a[n])
}
function ratio(over, under,    a, b) {
    a = median(over)
    b = median(under)
    return a > 0 && b > 0 ? sprintf("%.2f", a / b) : "-"
}
function share(part, whole,    a, b) {
    a = median(part)
    b = median(whole)
    return a > 0 && b > 0 ? sprintf("%.0f %%", 100 * a / b) : "-"
}
function analysis(name, key) {
    print "| " name " | " spread(key) " | " spread("torch " key) " | " ratio("torch " key, key) " |"
}
BEGIN { FS = "\t" }
NF == 2 {
    value[$1] = $2
    if ($1 ~ /^step /)
        steps[++n_steps] = substr($1, 6)
    if ($1 ~ /^path /)
        paths[++n_paths] = $1
    if ($1 ~ /^lm /)
        lms[++n_lms] = $1
    if ($1 ~ /^bits /)
        bits = bits " " substr($1, 6) " " $2
}
END {
    print "| peak | measured |\n|---|---|"
    split("f32 tf32 bf16", precision, " ")
    for (i = 1; i <= 3; i++)
        print "| product in " precision[i] ", TFLOP/s | " spread("peak " precision[i]) " |"
    print "| copy, GB/s read and written | " spread("peak copy") " |\n"
    print "| a step, ms | saekit | PyTorch, same precision | times | times PyTorch in f32 " \
        "| floor | share of the floor | with the orthogonality term | its share |"
    print "|---|---|---|---|---|---|---|---|---|"
    for (i = 1; i <= n_steps; i++) {
        s = steps[i]
        split(s, part, " ")
        o = median("orth " s)
        own = o > 0 ? sprintf("%.0f %%", 100 * (o - median("step " s)) / o) : "-"
        printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", s, spread("step " s),
            spread("torch step " s), ratio("torch step " s, "step " s),
            ratio("torch step " part[1] " f32", "step " s), spread("floor " s),
            share("floor " s, "step " s), spread("orth " s), own
    }
    print "\n| a step in f32, ms | saekit |\n|---|---|"
    for (i = 1; i <= n_paths; i++)
        print "| " substr(paths[i], 6) " | " spread(paths[i]) " |"
    print "\n| an analysis, ms | saekit | PyTorch | times |\n|---|---|---|---|"
    analysis("histogram of cosines, nearest neighbours", "hist")
    analysis("spectrum in double", "spectrum")
    print "\n| language model, tokens a second | saekit | transformers | times |\n|---|---|---|---|"
    for (i = 1; i <= n_lms; i++)
        print "| " substr(lms[i], 4) " | " spread(lms[i]) " | " spread("torch " lms[i]) " | " \
            ratio(lms[i], "torch " lms[i]) " |"
    print "\nWeights of two runs:" (bits == "" ? " not compared" : bits) "."
}
