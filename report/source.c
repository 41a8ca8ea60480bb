/* SPDX-License-Identifier: MIT */
/* source : the evaluations, a row each. Whatever differs between them and is data stands here. */
#include "report/report.h"

#include <string.h>

/* One text for both: it is said once. */
static const char audited[] = "SCR and TPP fail the reliability checks of an audit (arXiv "
                              "2605.18229), which advises against them. "
                              "No conclusion should rest on them.";

const struct report_source_row report_sources[SAE_SOURCE_N] = {
    [SAE_SOURCE_HELDOUT] =
        {.id = "heldout",
                              .suffix = "h5",
                              .title = "Held-out reconstruction",
                              .note = "Measured by training itself, at each checkpoint, on rows it never "
                 "trains on.",                                                                                .command = "sae-train",
                              .chart = {"reconstruction", "Held-out reconstruction", "rows that training never sees",
                   "what the orthogonality term costs: explained variance and error on "
                   "held-out rows, by phase and setting"}                                                                                                                         },
    [SAE_SOURCE_ANALYZE] =
        {                                 .id = "analyze",
                              .suffix = "analyze.json",
                              .saebench = {"analyze"},
                              .title = "Separation of features",
                              .note = "From the decoder directions and the held-out masks of each "
                 "checkpoint.",                                                                             .command = "sae-analyze",
                              .expected = true,
                              .chart = {"separation", "Separation of features through training",
                   "lower is better in every panel",
                   "how near features are to their nearest neighbour and how many "
                   "pairs compete, by phase and setting; lower is better"}},
    [SAE_SOURCE_PROBE] =
        {                                                                                                                                           .id = "probe",
                              .suffix = "probe.json",
                              .saebench = {"sparse_probing"},
                              .published = "sparse probing evaluation results",
                              .title = "Sparse probing",
                              .note = "Can single latents tell labelled concepts apart? Accuracy from 0.5 "
                 "(chance) to 1.",                                                                                                                                                  .command = "sae-probe --k 1,2,5",
                              .expected = true,
                              .chart = {"probing", "k-sparse probing of labelled concepts",
                   "higher is better; 0.5 is chance; dashed: the best raw neurons; "
                   "bars: standard error of the evaluation of one run",
                   "accuracy of the best latent (k = 1) and the best five, by phase and "
                   "setting, against raw neurons; higher is better"}},
    [SAE_SOURCE_SAE_PROBES] =
        {.id = "sae_probes",
         .suffix = "sae_probes.json",
         .saebench = {"sparse_probing_sae_probes"},
         .title = "Sparse probing at the last token (sae-probes)",
         .note = "Can few latents at a text's last token tell its class? AUC from 0.5 (chance) to 1; the "
                 "most reliable of SAEBench's metrics by an audit (arXiv 2605.18229).",
         .command = "sae-probe --protocol sae-probes",
         .chart = {"sae_probes", "k-sparse probing at the last token",
                   "higher is better; 0.5 is chance; dashed: the whole activation",
                   "AUC of one latent and of five at the last token, by phase and setting, against the "
                   "whole activation; higher is better"}},
    [SAE_SOURCE_ABSORB] =
        { .id = "absorb",
                              .suffix = "absorb.json",
                              .saebench = {"absorption_first_letter", "absorption"},
                              .published = "absorption evaluation results",
                              .title = "Absorption (first letters)",
                              .note = "Does a latent for 'starts with L' fire on every word with L, or do "
                 "other latents swallow some of them?",                                                                                                         .command = "sae-absorb",
                              .expected = true,
                              .chart = {"absorption", "First-letter absorption", "lower is better",
                   "how often a first-letter latent stays silent because another one "
                   "carries the letter, by phase and setting; lower is better"}},
    [SAE_SOURCE_CORE] =
        {                                                                                                                                                  .id = "core",
                              .suffix = "core.json",
                              .saebench = {"core"},
                              .published = "core evaluation results",
                              .published_in = "metrics",
                              .title = "What the language model loses (core)",
                              .note = "The reconstruction replaces the residual stream while the language "
                 "model reads text.", .command = "sae-splice",
                              .expected = true,
                              .chart = {"core",
                   "What the language model keeps when the reconstruction replaces its "
                   "stream",
                   "1 is all of it, 0 is as bad as zeros; higher is better",
                   "cross-entropy and KL recovered by the spliced model, by phase and "
                   "setting; higher is better"}},
    [SAE_SOURCE_UNLEARN] =
        {                                                                                                                                                                   .id = "unlearn",
                              .suffix = "unlearn.json",
                              .saebench = {"unlearning"},
                              .published = "unlearning evaluation results",
                              .title = "Unlearning",
                              .note = "Does clamping chosen latents remove dangerous knowledge and nothing "
                 "else?",                                                                                                                                    .command = "sae-unlearn"},
    [SAE_SOURCE_AUTOINTERP] =
        {                                                                                                                                                                    .id = "autointerp",
                              .suffix = "autointerp.json",
                              .saebench = {"autointerp"},
                              .title = "Automated interpretability",
                              .note = "Can a language model say what a latent stands for, and tell from "
                 "that where it fires?",                                                                                                             .command = "sae-autointerp"},
    [SAE_SOURCE_SCR] =
        {                              .id = "scr",
                              .suffix = "scr.json",
                              .saebench = {"scr"},
                              .title = "Spurious correlation removal (doubtful: see the cautions)",
                              .note = "A probe is trained where class and attribute always come together; does "
                 "ablating the latents of one leave a probe of the other?",.command = "sae-ablate --no-tpp",
                              .caution = audited},
    [SAE_SOURCE_TPP] = {.id = "tpp",
                              .suffix = "tpp.json",
                              .saebench = {"tpp"},
                              .title = "Targeted probe perturbation (doubtful: see the cautions)",
                              .note =
                            "Does ablating a class's latents blind its own probe, and no other?",                                                                                     .command = "sae-ablate --no-scr",
                              .caution = audited},
    [SAE_SOURCE_MATCH] =
        {.id = "match",
         .suffix = "match.json",
         .saebench = {"match"},
         .title = "Features over seeds",
         .note = "Matched one to one with the runs that differ in their seed alone; error over seeds.",
         .command = "sae-match",
         .chart = {"match", "Are features found again, and when are they fixed?",
                   "higher is better on the left; dashed: random dictionaries",
                   "how much of a dictionary other seeds find again, by phase and setting, beside "
                   "random dictionaries, and how much of it is already as at the end"}},
};

enum sae_source report_source_of(const char *saebench)
{
    for (enum sae_source s = 0; s < SAE_SOURCE_N; s++)
        for (size_t i = 0; i < sizeof report_sources[s].saebench / sizeof(char *); i++)
            if (report_sources[s].saebench[i] != NULL &&
                strcmp(report_sources[s].saebench[i], saebench) == 0)
                return s;
    return SAE_SOURCE_N;
}
