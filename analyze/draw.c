/* SPDX-License-Identifier: MIT */
/* draw : charts of a report.
 *
 * Contents:  1. helpers   2. cosines   3. eigenvalues   4. overlaps   5. joint map   6. density
 *            7. similarity matrix   8. trajectories of pairs   9. all of them */
#include <math.h>
#include <stdlib.h>

#include "analyze/analyze.h"
#include "analyze/random.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/cli/chart.h"

struct pen {
    const struct analyze_report *r;
    struct sae_chart_options *how;
    const char *dir;
    size_t n_drawn;
    size_t width, height; /* of the chart at hand, in pixels; 0: as usual */
};

/* --- 1. helpers --------------------------------------------------------------------------- */

/* Begins a chart; the subtitle says which checkpoint. */
static enum sae_status begin(struct sae_str *gp, const struct pen *pen, const char *title,
                             const char *note, const char *xlabel, const char *ylabel,
                             struct sae_err *err)
{
    const struct sae_ckpt *c = pen->r->ckpt;
    struct sae_str sub = {0};
    enum sae_status st;
    SAE_GO(st, sae_str_printf(&sub, err, "%s, %s: %s, d %zu, m %zu, %.0f %% of training%s%s",
                                  pen->r->run, pen->r->name, sae_arch_name(c->model.arch),
                                  c->model.d, c->model.m, 100 * c->progress,
                                  note != NULL ? "; " : "", note != NULL ? note : ""));
    const struct sae_chart_head head = {title, sub.s, xlabel, ylabel, pen->width, pen->height};
    SAE_GO(st, sae_chart_begin(gp, pen->how, &head, err));
    /* below the plot, where it can hide nothing */
    SAE_GO(st,
           sae_str_printf(gp, err, "set key bmargin center horizontal noopaque height 0.8\n"));
done:
    sae_str_clear(&sub);
    return st;
}

/* Size of the chart at hand: on a page, and its height in a column. width 0: the whole page. */
static void size(struct pen *pen, size_t width, size_t height, size_t column_height)
{
    const bool column = pen->how->width == SAE_CHART_COLUMN;
    pen->width = column ? 0 : width;
    pen->height = column ? column_height : height;
}

static enum sae_status end(struct sae_str *gp, struct pen *pen, const char *what,
                           struct sae_err *err)
{
    struct sae_str name = {0};
    enum sae_status st;
    SAE_GO(st, sae_str_printf(&name, err, "%s.%s",
                                  pen->r->stem != NULL ? pen->r->stem : pen->r->name, what));
    SAE_GO(st, sae_chart_end(gp, pen->how, pen->dir, name.s, err));
    pen->n_drawn++;
done:
    sae_str_clear(&name);
    sae_str_clear(gp);
    return st;
}

static bool holds_any(const struct analyze_hist *h)
{
    for (size_t i = 0; i < h->n; i++)
        if (h->count[i] > 0)
            return true;
    return false;
}

/* First and last bin that hold anything, widened by `margin` bins. */
static void used_bins(const struct analyze_hist *h, size_t margin, size_t *ret_first,
                      size_t *ret_last)
{
    size_t first = 0, last = h->n - 1;
    while (first < last && h->count[first] == 0)
        first++;
    while (last > first && h->count[last] == 0)
        last--;
    *ret_first = first > margin ? first - margin : 0;
    *ret_last = last + margin < h->n ? last + margin : h->n - 1;
}

/* A block "$name" of: left edge, count; closed by the right edge with the last count, as the
 * style `steps` needs. */
static enum sae_status put_hist(struct sae_str *gp, const char *name, const struct analyze_hist *h,
                                size_t first, size_t last, struct sae_err *err)
{
    SAE_TRY(sae_str_printf(gp, err, "$%s << EOD\n", name));
    for (size_t i = first; i <= last; i++)
        SAE_TRY(sae_str_printf(gp, err, "%.6g %.6g %llu\n", analyze_hist_edge(h, i),
                               analyze_hist_edge(h, i + 1), (unsigned long long)h->count[i]));
    return sae_str_printf(gp, err, "EOD\n");
}

/* Boxes from edge to edge, down to the floor of a log axis. */
static const char boxes[] =
    "using (($1+$2)/2):($3>0?$3:NaN):($2-$1) with boxes fs solid 0.35 noborder";

/* --- 2. cosines --------------------------------------------------------------------------- */

static enum sae_status draw_cosine(struct pen *pen, struct sae_err *err)
{
    const struct analyze_hist *h = &pen->r->dec_folded;
    const double d = (double)pen->r->dec.d;
    const double width = (h->hi - h->lo) / (double)h->n, pairs = (double)h->total;
    struct sae_str gp = {0};
    size_t first, last;
    enum sae_status st;
    if (!holds_any(h))
        return SAE_OK; /* no point to draw */
    used_bins(h, 1, &first, &last);
    const double reach =
        fmin(1, fmax(fmax(fabs(analyze_hist_edge(h, first)), fabs(analyze_hist_edge(h, last + 1))),
                     6 / sqrt(d)));
    SAE_GO(st, begin(&gp, pen, "Cosines between decoder rows, all pairs", NULL,
                         "cosine of a pair", "pairs per bin", err));
    SAE_GO(st, put_hist(&gp, "h", h, first, last, err));
    SAE_GO(st, sae_str_printf(&gp, err,
                                  "set logscale y\nset format y \"10^{%%T}\"\n"
                                  "set yrange [0.5:*]\nset xrange [%g:%g]\n"
                                  "set samples 600\n"
                                  "plot $h %s ls 1 title \"this dictionary\", \\\n",
                                  -reach, reach, boxes));
    SAE_GO(st, sae_str_printf(&gp, err,
                                  "  %.9g*exp(-0.5*%.9g*x*x) ls 2 title "
                                  "\"random directions, N(0, 1/d)\"\n",
                                  pairs * width * sqrt(d / (2 * 3.14159265358979)), d));
    SAE_GO(st, end(&gp, pen, "cosine", err));
done:
    sae_str_clear(&gp);
    return st;
}

static enum sae_status draw_nearest(struct pen *pen, struct sae_err *err)
{
    const struct analyze_hist *h = &pen->r->nearest;
    const double d = (double)pen->r->dec.d, m = (double)pen->r->dec.m;
    const double width = (h->hi - h->lo) / (double)h->n;
    struct sae_str gp = {0};
    char note[80];
    size_t first, last;
    enum sae_status st;
    if (!holds_any(h))
        return SAE_OK; /* no point to draw */
    used_bins(h, 2, &first, &last);
    snprintf(note, sizeof note, "mean %.3f, random %.3f", pen->r->max_dec.mean,
             analyze_random_max_cos(m - 1, d));
    SAE_GO(st, begin(&gp, pen, "How close is the nearest other latent?", note,
                         "largest cosine to another decoder row", "latents per bin", err));
    SAE_GO(st, put_hist(&gp, "h", h, first, last, err));
    SAE_GO(st, sae_str_printf(&gp, err, "$random << EOD\n"));
    for (size_t i = 0; i <= 400; i++) {
        const double x = (double)i / 400;
        SAE_GO(st, sae_str_printf(&gp, err, "%.6g %.6g\n", x,
                                      m * width * analyze_random_max_density(x, m - 1, d)));
    }
    SAE_GO(st, sae_str_printf(&gp, err,
                                  "EOD\nset xrange [%g:1]\nset yrange [0:*]\n"
                                  "plot $h %s ls 1 title \"this dictionary\", \\\n"
                                  "  $random with lines ls 2 title \"random directions\"\n",
                                  fmin(0, analyze_hist_edge(h, first)), boxes));
    SAE_GO(st, end(&gp, pen, "nearest", err));
done:
    sae_str_clear(&gp);
    return st;
}

/* --- 3. eigenvalues ----------------------------------------------------------------------- */

static enum sae_status draw_spectrum(struct pen *pen, struct sae_err *err)
{
    const struct analyze_report *r = pen->r;
    const size_t d = r->dec.d;
    struct sae_str gp = {0};
    char note[80];
    enum sae_status st;
    snprintf(note, sizeof note, "effective rank %.1f, random %.1f", r->ranks.effective,
             r->random_ranks.effective);
    SAE_GO(st, begin(&gp, pen, "Gram eigenvalues of the decoder", note,
                         "eigenvalue, largest first", "eigenvalue", err));
    double low = r->eig[0], high = fmax(r->eig[0], r->random_eig[0]);
    SAE_GO(st, sae_str_printf(&gp, err, "$e << EOD\n"));
    for (size_t i = 0; i < d; i++) {
        low = r->eig[i] > 0 ? fmin(low, r->eig[i]) : low;
        low = r->random_eig[i] > 0 ? fmin(low, r->random_eig[i]) : low;
        SAE_GO(st,
               sae_str_printf(&gp, err, "%zu %.6g %.6g\n", i + 1, r->eig[i], r->random_eig[i]));
    }
    SAE_GO(st,
           sae_str_printf(&gp, err,
                          "EOD\n%s\nset yrange [%.4g:%.4g]\nset xrange [1:%zu]\n"
                          "plot $e using 1:($2>0?$2:NaN) with lines ls 1 title "
                          "\"this dictionary\", \\\n"
                          "  $e using 1:($3>0?$3:NaN) with lines ls 2 title "
                          "\"random (Marchenko-Pastur)\", \\\n"
                          "  %.9g with lines ls 8 title \"tight frame\"\n",
                          high > 20 * low ? "set logscale y" : "", high > 20 * low ? 0.8 * low : 0,
                          1.25 * high, d, (double)r->dec.m / (double)d));
    SAE_GO(st, end(&gp, pen, "spectrum", err));
done:
    sae_str_clear(&gp);
    return st;
}

/* --- 4. overlaps -------------------------------------------------------------------------- */

static enum sae_status put_overlaps(struct sae_str *gp, const struct analyze_cooc *c,
                                    struct sae_err *err)
{
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++) {
        const struct analyze_overlap *of = &c->of[kind];
        const size_t fold = of->log10_bins ? 10 : 20;
        struct analyze_hist h = {0};
        size_t first = 0, last;
        SAE_TRY(analyze_hist_init(&h, of->hist.lo, of->hist.hi, of->hist.n / fold, err));
        analyze_hist_fold(&h, &of->hist);
        last = h.n - 1;
        if (of->log10_bins)
            used_bins(&h, 1, &first, &last);
        const enum sae_status st = put_hist(gp, sae_overlap_names[kind], &h, first, last, err);
        analyze_hist_clear(&h);
        SAE_TRY(st);
    }
    return SAE_OK;
}

static bool overlaps_any(const struct analyze_cooc *c)
{
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++)
        if (!holds_any(&c->of[kind].hist))
            return false;
    return true;
}

static enum sae_status draw_overlap(struct pen *pen, struct sae_err *err)
{
    const struct analyze_cooc *c = &pen->r->cooc;
    struct sae_str gp = {0};
    char note[120];
    enum sae_status st;
    if (!overlaps_any(c))
        return SAE_OK; /* no point to draw */
    snprintf(note, sizeof note, "%.1f %% of pairs never met, %.1f %% if independent",
             100 * c->share_never, 100 * c->expected_never);
    size(pen, 1000, 480, 640);
    SAE_GO(st, begin(&gp, pen, "Overlap of the pairs that fired together", NULL,
                         "normalised intersection", "pairs per bin", err));
    SAE_GO(st, put_overlaps(&gp, c, err));
    SAE_GO(st, sae_str_printf(&gp, err,
                                  "set logscale y\nset format y \"10^{%%T}\"\nset yrange [0.5:*]\n"
                                  "set multiplot layout %s\nset xrange [0:1]\n"
                                  "plot for [i=1:3] word('$overlap $jaccard $cosine', i) using "
                                  "(($1+$2)/2):($3>0?$3:0.1) with histeps ls i title "
                                  "word('n_ij/min Jaccard cosine', i) noenhanced\n",
                                  pen->how->width == SAE_CHART_COLUMN ? "2,1" : "1,2"));
    SAE_GO(st,
           sae_str_printf(&gp, err,
                          "set title \"{/:Bold Lift, and share of the batch}\\n{/*0.85 lift 1 is "
                          "chance; %s}\"\nset xrange [*:*]\n"
                          "set xlabel \"log10 of the value\"\n"
                          "plot $lift using (($1+$2)/2):($3>0?$3:0.1) with histeps ls 4 title "
                          "\"lift\", \\\n  $batch using (($1+$2)/2):($3>0?$3:0.1) with histeps ls "
                          "7 title \"share of the batch\"\n"
                          "unset multiplot\n",
                          note));
    SAE_GO(st, end(&gp, pen, "overlap", err));
done:
    sae_str_clear(&gp);
    return st;
}

/* --- 5. joint map ------------------------------------------------------------------------- */

/* Dark is many, and the luminance falls evenly, so that a grey print reads the same. */
static const char counts_palette[] =
    "set palette defined (0 '#fde725', 1 '#7ad151', 2 '#22a884', 3 '#2a788e', 4 '#414487', 5 "
    "'#440154')\n";

/* Filled cells of the map: middle x, middle y, log10 count. Row -2 holds pairs that never met. */
static enum sae_status put_joint(struct sae_str *gp, const struct analyze_joint *j,
                                 double *ret_reach, struct sae_err *err)
{
    double reach = 0.1;
    SAE_TRY(sae_str_printf(gp, err, "$j << EOD\n"));
    for (size_t c = 0; c < j->n_cos; c++) {
        const double x = -1 + 2 * ((double)c + 0.5) / (double)j->n_cos;
        if (j->never[c] > 0) {
            SAE_TRY(sae_str_printf(gp, err, "%.6g %.6g %.6g\n", x, -1.5 / (double)j->n_overlap,
                                   log10(j->never[c])));
            reach = fmax(reach, fabs(x));
        }
        for (size_t row = 0; row < j->n_overlap; row++) {
            const uint64_t n = j->met[row * j->n_cos + c];
            if (n == 0)
                continue;
            reach = fmax(reach, fabs(x));
            SAE_TRY(sae_str_printf(gp, err, "%.6g %.6g %.6g\n", x,
                                   ((double)row + 0.5) / (double)j->n_overlap, log10((double)n)));
        }
    }
    *ret_reach = fmin(1, reach + 1.5 / (double)j->n_cos);
    return sae_str_printf(gp, err, "EOD\n");
}

static bool joint_holds_any(const struct analyze_joint *j)
{
    for (size_t c = 0; c < j->n_cos; c++) {
        if (j->never[c] > 0)
            return true;
        for (size_t row = 0; row < j->n_overlap; row++)
            if (j->met[row * j->n_cos + c] > 0)
                return true;
    }
    return false;
}

static enum sae_status draw_joint(struct pen *pen, struct sae_err *err)
{
    const struct analyze_cooc *c = &pen->r->cooc;
    struct sae_str gp = {0};
    char note[100];
    double reach;
    enum sae_status st;
    if (!joint_holds_any(&c->joint))
        return SAE_OK; /* no point to draw */
    snprintf(note, sizeof note, "r of overlap with |cos| %.3f", c->corr_abs);
    SAE_GO(st, begin(&gp, pen, "Do latents that fire together point the same way?", note,
                         "cosine of the decoder rows", "overlap n_ij / min(n_i, n_j)", err));
    SAE_GO(st, put_joint(&gp, &c->joint, &reach, err));
    SAE_GO(st,
           sae_str_printf(&gp, err,
                          "%sset cblabel \"pairs\"\nset format cb \"10^{%%.0f}\"\n"
                          "set cbtics 1\nset cbrange [0:*]\n"
                          "set xrange [%.4g:%.4g]\nset yrange [%.6g:1]\n"
                          "set ytics add (\"never\" %.6g)\nset style fill solid noborder\n"
                          "set arrow from graph 0, first 0 to graph 1, first 0 nohead lc rgb "
                          "'#444444' lw 1\n"
                          "plot $j using 1:2:(%.6g):(%.6g):3 with boxxyerror fc palette notitle\n",
                          counts_palette, -reach, reach, -2.5 / (double)c->joint.n_overlap,
                          -1.5 / (double)c->joint.n_overlap, 1 / (double)c->joint.n_cos,
                          0.5 / (double)c->joint.n_overlap));
    SAE_GO(st, end(&gp, pen, "joint", err));
done:
    sae_str_clear(&gp);
    return st;
}

/* --- 6. density --------------------------------------------------------------------------- */

static enum sae_status draw_density(struct pen *pen, struct sae_err *err)
{
    const struct analyze_usage *u = &pen->r->usage;
    struct sae_str gp = {0};
    char note[120];
    size_t first, last;
    enum sae_status st;
    if (!holds_any(&u->hist))
        return SAE_OK; /* no point to draw */
    used_bins(&u->hist, 1, &first, &last);
    snprintf(note, sizeof note, "%zu of %zu silent on %zu tokens", u->n_dead, u->m, u->n_tokens);
    SAE_GO(st, begin(&gp, pen, "How often does a latent fire?", note,
                         "share of held-out tokens", "latents per bin", err));
    SAE_GO(st, put_hist(&gp, "h", &u->hist, first, last, err));
    SAE_GO(st,
           sae_str_printf(&gp, err,
                          "set yrange [0:*]\nset xrange [%g:%g]\nset format x \"10^{%%.0f}\"\n"
                          "set xtics 1\n"
                          "set arrow from -2, graph 0 to -2, graph 1 nohead ls 8\n"
                          "set arrow from -1, graph 0 to -1, graph 1 nohead ls 8\n"
                          "set label \" 1 %%\" at -2, graph 0.97\n"
                          "set label \" 10 %%\" at -1, graph 0.97\n"
                          "plot $h %s ls 1 notitle\n",
                          fmin(-2.5, analyze_hist_edge(&u->hist, first)),
                          fmax(-0.5, analyze_hist_edge(&u->hist, last + 1)), boxes));
    SAE_GO(st, end(&gp, pen, "density", err));
done:
    sae_str_clear(&gp);
    return st;
}

/* --- 7. similarity matrix ----------------------------------------------------------------- */

static enum sae_status draw_sample(struct pen *pen, struct sae_err *err)
{
    const struct analyze_sample *s = &pen->r->sample;
    struct sae_str gp = {0};
    char title[120];
    double most = 0.05;
    const size_t marks = pen->how->width == SAE_CHART_COLUMN ? 8 : 16;
    enum sae_status st;
    snprintf(title, sizeof title, "Cosines between the %zu %s latents", s->n,
             pen->r->has_masks ? "most frequent" : "first");
    size(pen, 760, 700, 420);
    SAE_GO(st, begin(&gp, pen, title, "neighbours side by side", "latent", "latent", err));
    SAE_GO(st, sae_str_printf(&gp, err, "$s << EOD\n"));
    for (size_t row = 0; row < s->n; row++)
        for (size_t c = 0; c < s->n; c++) {
            if (row == c)
                continue;
            const double cos = (double)s->cos[row * s->n + c];
            most = fmax(most, fabs(cos));
            SAE_GO(st, sae_str_printf(&gp, err, "%zu %zu %.4f\n", c, row, cos));
        }
    SAE_GO(st, sae_str_printf(&gp, err, "EOD\n$d << EOD\n"));
    for (size_t row = 0; row < s->n; row++)
        SAE_GO(st, sae_str_printf(&gp, err, "%zu %zu\n", row, row));
    SAE_GO(st, sae_str_printf(&gp, err, "EOD\nunset xtics\nunset ytics\n"));
    for (size_t row = 0; row<s->n; row += s->n> marks ? s->n / marks : 1)
        SAE_GO(st,
               sae_str_printf(&gp, err,
                              "set xtics add (\"%u\" %zu) rotate by 90 right nomirror\n"
                              "set ytics add (\"%u\" %zu)\n",
                              (unsigned)s->latent[row], row, (unsigned)s->latent[row], row));
    /* both sides equally dark at equal |cosine|: blue opposite, red alike */
    SAE_GO(st,
           sae_str_printf(
               &gp, err,
               "set palette defined (-1 '#2166ac', -0.5 '#92c5de', 0 '#ffffff', "
               "0.5 '#f9b193', 1 '#bd2a3a')\nset cbrange [-%.4g:%.4g]\nset cblabel \"cosine\"\n"
               "set size square\nunset grid\nset tics font ',10' out nomirror\n"
               "set xrange [-0.5:%.1f]\nset yrange [%.1f:-0.5]\n"
               "set style fill solid noborder\n"
               "plot $s using 1:2:(0.5):(0.5):3 with boxxyerror fc palette notitle, "
               "\\\n  $d using 1:2:(0.5):(0.5) with boxxyerror fc rgb '#222222' "
               "notitle\n",
               most, most, (double)s->n - 0.5, (double)s->n - 0.5));
    SAE_GO(st, end(&gp, pen, "similarity", err));
done:
    sae_str_clear(&gp);
    return st;
}

/* --- 8. trajectories of pairs ------------------------------------------------------------- */

static const char *const kind_names[] = {"strongest competitors", "random pairs that met",
                                         "pairs that never met"};

/* Mean of a quantity over the pairs of each kind, by logged step: step, three means. */
static enum sae_status put_means(struct sae_str *gp, const char *name, const struct sae_ckpt *c,
                                 const float *values, bool absolute, struct sae_err *err)
{
    SAE_TRY(sae_str_printf(gp, err, "$%s << EOD\n", name));
    for (size_t l = 0; l < c->pairs.n_logged; l++) {
        double sum[3] = {0}, n[3] = {0};
        for (size_t p = 0; p < c->pairs.n; p++) {
            const double v = (double)values[l * c->pairs.n + p];
            if (c->pairs.kind[p] > 2 || !isfinite(v))
                continue;
            sum[c->pairs.kind[p]] += absolute ? fabs(v) : v;
            n[c->pairs.kind[p]]++;
        }
        SAE_TRY(sae_str_printf(gp, err, "%.9g", c->pairs.step[l]));
        for (size_t k = 0; k < 3; k++)
            SAE_TRY(n[k] > 0 ? sae_str_printf(gp, err, " %.6g", sum[k] / n[k])
                             : sae_str_printf(gp, err, " NaN"));
        SAE_TRY(sae_str_printf(gp, err, "\n"));
    }
    return sae_str_printf(gp, err, "EOD\n");
}

static enum sae_status draw_pairs(struct pen *pen, struct sae_err *err)
{
    const struct sae_ckpt *c = pen->r->ckpt;
    struct sae_str gp = {0};
    enum sae_status st;
    if (c->pairs.n == 0 || c->pairs.n_logged < 2)
        return SAE_OK;
    size(pen, 0, 900, 800);
    SAE_GO(st, begin(&gp, pen, "Representative pairs over training", "means by kind of pair",
                         "", "competition c_{ij}", err));
    SAE_GO(st, put_means(&gp, "c", c, c->pairs.c, false, err));
    SAE_GO(st, put_means(&gp, "nhat", c, c->pairs.nhat, false, err));
    SAE_GO(st, put_means(&gp, "cos", c, c->pairs.cos, true, err));
    SAE_GO(st, sae_str_printf(&gp, err,
                                  "set multiplot layout 3,1\nset yrange [0:*]\n"
                                  "set lmargin 10\nunset key\n"));
    static const char *const blocks[] = {"c", "nhat", "cos"};
    static const char *const labels[] = {"competition c", "overlap", "|cosine|"};
    for (size_t q = 0; q < 3; q++) {
        SAE_GO(st,
               sae_str_printf(&gp, err, "set ylabel \"%s\"\n%s%s", labels[q],
                              q == 1 ? "unset title\n" : "",
                              q == 2 ? "set xlabel \"training step\"\n"
                                       "set key bmargin center horizontal noopaque height 0.8\n"
                                     : ""));
        for (int k = 0; k < 3; k++)
            SAE_GO(st, sae_str_printf(&gp, err,
                                          "%s$%s using 1:%d with lines ls %d title "
                                          "\"%s\"%s",
                                          k == 0 ? "plot " : "  ", blocks[q], k + 2, k + 1,
                                          kind_names[k], k < 2 ? ", \\\n" : "\n"));
    }
    SAE_GO(st, sae_str_printf(&gp, err, "unset multiplot\n"));
    SAE_GO(st, end(&gp, pen, "pairs", err));
done:
    sae_str_clear(&gp);
    return st;
}

/* --- 9. all of them ----------------------------------------------------------------------- */

enum sae_status analyze_draw(const struct analyze_report *report, struct sae_chart_options *how,
                             const char *dir, size_t *ret_n, struct sae_err *err)
{
    static enum sae_status (*const of_weights[])(struct pen *, struct sae_err *) = {
        draw_cosine, draw_nearest, draw_spectrum, draw_sample, draw_pairs};
    static enum sae_status (*const of_masks[])(struct pen *, struct sae_err *) = {
        draw_density, draw_overlap, draw_joint};
    const size_t n = sizeof of_weights / sizeof *of_weights;
    const size_t n_masks = report->has_masks ? sizeof of_masks / sizeof *of_masks : 0;
    struct pen pen = {.r = report, .how = how, .dir = dir};
    SAE_TRY(sae_fs_make_dirs(dir, err));
    for (size_t i = 0; i < n + n_masks; i++) {
        struct sae_err why = {0};
        pen.width = pen.height = 0;
        if ((i < n ? of_weights[i] : of_masks[i - n])(&pen, &why) != SAE_OK)
            sae_log_warn("a chart of '%s' is left out: %s", report->ckpt->path, why.msg);
    }
    *ret_n = pen.n_drawn;
    return SAE_OK;
}
