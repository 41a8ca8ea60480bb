/* SPDX-License-Identifier: MIT */
/* source : the evaluations, a row each. Whatever differs between them and is data stands here. */
#include "report/report.h"

#include <string.h>

const struct report_source_row report_sources[REPORT_SOURCE_N] = {
    [REPORT_HELDOUT] = {.id = "heldout",
                        .suffix = "h5",
                        .title = "Held-out reconstruction",
                        .note = "Measured by training itself, at each checkpoint, on rows it never "
                                "trains on.",
                        .command = "sae-train"},
    [REPORT_ANALYZE] = {.id = "analyze",
                        .suffix = "analyze.json",
                        .saebench = {"analyze"},
                        .title = "Separation of features",
                        .note = "From the decoder directions and the held-out masks of each "
                                "checkpoint.",
                        .command = "sae-analyze",
                        .expected = true},
    [REPORT_PROBE] = {.id = "probe",
                      .suffix = "probe.json",
                      .saebench = {"sparse_probing"},
                      .published = "sparse probing evaluation results",
                      .title = "Sparse probing",
                      .note = "Can single latents tell labelled concepts apart? Accuracy from 0.5 "
                              "(chance) to 1.",
                      .command = "sae-probe --k 1,2,5",
                      .expected = true},
    [REPORT_ABSORB] = {.id = "absorb",
                       .suffix = "absorb.json",
                       .saebench = {"absorption_first_letter", "absorption"},
                       .published = "absorption evaluation results",
                       .title = "Absorption (first letters)",
                       .note = "Does a latent for 'starts with L' fire on every word with L, or do "
                               "other latents swallow some of them?",
                       .command = "sae-absorb",
                       .expected = true},
    [REPORT_CORE] = {.id = "core",
                     .suffix = "core.json",
                     .saebench = {"core"},
                     .published = "core evaluation results",
                     .title = "What the language model loses (core)",
                     .note = "The reconstruction replaces the residual stream while the language "
                             "model reads text.",
                     .command = "sae-splice",
                     .expected = true},
    [REPORT_UNLEARN] = {.id = "unlearn",
                        .suffix = "unlearn.json",
                        .saebench = {"unlearning"},
                        .published = "unlearning evaluation results",
                        .title = "Unlearning",
                        .note = "Does clamping chosen latents remove dangerous knowledge and nothing "
                                "else?",
                        .command = "sae-unlearn"},
    [REPORT_AUTOINTERP] = {.id = "autointerp",
                           .suffix = "autointerp.json",
                           .saebench = {"autointerp"},
                           .title = "Automated interpretability",
                           .note = "Can a language model say what a latent stands for, and tell from "
                                   "that where it fires?",
                           .command = "sae-autointerp"},
    [REPORT_SCR] = {.id = "scr",
                    .suffix = "scr.json",
                    .saebench = {"scr"},
                    .title = "Spurious correlation removal (doubtful: see the cautions)",
                    .note = "A probe is trained where class and attribute always come together; does "
                            "ablating the latents of one leave a probe of the other?",
                    .command = "sae-ablate --no-tpp"},
    [REPORT_TPP] = {.id = "tpp",
                    .suffix = "tpp.json",
                    .saebench = {"tpp"},
                    .title = "Targeted probe perturbation (doubtful: see the cautions)",
                    .note = "Does ablating a class's latents blind its own probe, and no other?",
                    .command = "sae-ablate --no-scr"},
};

enum report_source report_source_of(const char *saebench)
{
    for (enum report_source s = 0; s < REPORT_SOURCE_N; s++)
        for (size_t i = 0; i < sizeof report_sources[s].saebench / sizeof(char *); i++)
            if (report_sources[s].saebench[i] != NULL &&
                strcmp(report_sources[s].saebench[i], saebench) == 0)
                return s;
    return REPORT_SOURCE_N;
}
