/* SPDX-License-Identifier: MIT */
/* plan : what one checkpoint will take. The program's own functions are run on the first words, the probes
 * for one epoch and for two, so that what an epoch takes is known apart. */
#include "absorb/plan.h"

#include <math.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/eval/cost.h"

enum { LANES = 32, NODE = 16 /* bytes of liblinear's for a value */ };

/* Capacity of a list that doubles. */
static double grown(double n)
{
    double cap = 16;
    while (cap < n)
        cap *= 2;
    return cap;
}

/* Seconds. */
struct rates {
    double truth, sparse; /* an epoch over all words */
    double rest;          /* codes and splits of all words */
};

static enum sae_status time_truth(double *ret, const struct sae_words *words,
                                  struct absorb_settings *s, const struct sae_ops *ops,
                                  struct absorb_truth *truth, struct sae_err *err)
{
    const double from = sae_stop_clock();
    s->truth_epochs = 1;
    SAE_TRY(absorb_truth_make(truth, words, NULL, ops, s, err));
    *ret = sae_stop_clock() - from;
    return SAE_OK;
}

static enum sae_status time_run(double *ret, const struct sae_ckpt *ckpt,
                                const struct sae_words *words, const struct absorb_truth *truth,
                                struct absorb_settings *s, size_t epochs,
                                const struct sae_ops *ops, struct sae_err *err)
{
    struct absorb_letters letters;
    const double from = sae_stop_clock();
    s->sparse_epochs = epochs;
    SAE_TRY(absorb_run(&letters, ckpt, words, truth, NULL, ops, s, err));
    *ret = sae_stop_clock() - from;
    return SAE_OK;
}

static enum sae_status measure(struct rates *r, const struct sae_ckpt *ckpt,
                               const struct sae_words *words, struct absorb_settings s,
                               const struct sae_ops *ops, struct sae_err *err)
{
    enum { SOME = 1024 };
    const struct sae_ops *const host = ops->host ? ops : &sae_ops_cpu;
    struct absorb_truth truth = {0};
    double one, three;
    enum sae_status st;
    SAE_GO(st, time_truth(&r->truth, words, &s, host, &truth, err));
    const size_t n_train = truth.n_train, n_test = truth.n_test;
    const double share = n_train > SOME ? (double)SOME / (double)n_train : 1;
    if (s.sparse_batch == 0)
        s.sparse_batch = absorb_auto_batch(n_train);
    truth.n_train = (size_t)(share * (double)n_train);
    truth.n_test = (size_t)ceil(share * (double)n_test);
    SAE_GO(st, time_run(&one, ckpt, words, &truth, &s, 1, ops, err));
    SAE_GO(st, time_run(&three, ckpt, words, &truth, &s, 3, ops, err));
    const double epoch = fmax((three - one) / 2, 0);
    /* a batch costs its rows and a pass over all weights: as many batches as the sample made of one */
    const double batches = ceil((double)n_train / (double)s.sparse_batch) /
                           ceil((double)truth.n_train / (double)s.sparse_batch);
    r->sparse = epoch * batches;
    r->rest = fmax(one - epoch, 0) / share;
    truth.n_train = n_train;
    truth.n_test = n_test;
done:
    absorb_truth_clear(&truth);
    return st;
}

static size_t count_train(const struct sae_words *words)
{
    size_t n = 0;
    for (size_t i = 0; i < words->n; i++)
        n += words->split[i] == 0;
    return n;
}

enum sae_status absorb_plan(struct sae_plan *plan, const struct sae_ckpt *ckpt,
                            const struct sae_words *words, const struct absorb_settings *s,
                            const struct sae_ops *ops, struct sae_err *err)
{
    const struct sae_model *const model = &ckpt->model;
    const size_t n_train = count_train(words), n_test = words->n - n_train;
    const double m = (double)model->m, d = (double)words->d, train = (double)n_train,
                 test = (double)n_test, L = ABSORB_LETTERS, k = (double)(model->k > 0 ? model->k : 64);
    const double epochs = (double)s->sparse_epochs, of_truth = (double)s->truth_epochs;
    struct rates r = {NAN, NAN, NAN};
    if (plan->is_asked) {
        SAE_TRY(measure(&r, ckpt, words, *s, ops, err));
        sae_plan_hold(plan);
    }
    const double codes = 8 * (grown(train * k) + 2 * grown(test * k) + train + 2 * test);
    const struct sae_plan_stage truth = {.unit = "epochs",
                                         .n = of_truth,
                                         .seconds = of_truth * r.truth,
                                         .flops = of_truth * 4 * train * L * d,
                                         .bytes = 16 * (d + 1) * L + 4 * 64 * d};
    const struct sae_plan_stage sparse = {.unit = "epochs",
                                          .n = epochs,
                                          .seconds = epochs * r.sparse,
                                          .flops = epochs * 4 * train * k * L,
                                          .bytes = 16 * (m + 1) * LANES + 4 * m * L +
                                                   (double)s->sparse_batch * 8 * L};
    const struct sae_plan_stage rest = {.unit = "words",
                                        .n = train + 2 * test,
                                        .seconds = r.rest,
                                        .flops = sae_cost_encode_flops(model, train + 2 * test),
                                        .bytes = train * (double)(s->max_k + 3) * (NODE + 4)};
    sae_plan_memory(plan, 4 * (d * L + test * L + train + test), "ground-truth probe");
    sae_plan_memory(plan, codes + sae_coder_bytes(model, s->encode_batch) + 4 * d * (double)s->encode_batch,
                    "latents of the words");
    sae_plan_stage(plan, &truth, "ground-truth probe, if it is not cached");
    sae_plan_stage(plan, &sparse, "L1 probe");
    sae_plan_stage(plan, &rest, "latents of the words, splits, absorption");
    sae_plan_disk(plan, 4 * (d + 1) * L + 3e4, "ground-truth probe and result");
    return SAE_OK;
}
