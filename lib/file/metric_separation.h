/* SPDX-License-Identifier: MIT */
/* metric_separation : the metrics of sae-analyze, a row each. Formulas and worked examples:
 * docs/math-separation.md.
 *
 * Included wherever FIELD and MEASURE are defined: sae-analyze takes the values by them and prints the
 * fields, sae-report shows those that have an id (struct sae_metric says what each field is).
 *   FIELD(at, ...)    the value lies at `at` of struct analyze_report
 *   MEASURE(of, ...)  double of(const struct analyze_report *) gives it; it is declared from here
 * A row's order is that of the tables. */

#define SEPARATION(key) .path = {"eval_result_metrics.separation." key}
#define SPECTRUM(key) .path = {"eval_result_metrics.spectrum." key}
#define USAGE(key) .path = {"eval_result_metrics.usage." key}
#define OVERLAP(key) .path = {"eval_result_metrics.overlap." key}
#define COMPETITION(key) .path = {"eval_result_metrics.competition." key}

/* clang-format off */
/* directions */
FIELD(max_dec.mean, SEPARATION("average_max_decoder_cosine_sim"), .id = "mean_max_cos", .head = "mean max cos",
      .column = "max cos", .name = "cosine to the nearest feature", .digits = 4, .better = -1,
      .panel = "cosine to the nearest feature", .axis = "mean over features",
      .meaning = "each feature direction's cosine to its nearest other direction, averaged over features",
      .row = "nearest neighbour, mean cos", .says = "largest cos to another, mean of latents",
      .beside = "random_average_max_decoder_cosine_sim", .compared = true, .brief = "nearest cos")
FIELD(base.max_dec, SEPARATION("random_average_max_decoder_cosine_sim"), .id = "random_max_cos", .head = "by chance",
      .digits = 4, .meaning = "what random directions of this number and width would give for it")
FIELD(max_dec.median, SEPARATION("median_max_decoder_cosine_sim"), .digits = 4,
      .row = "nearest neighbour, median", .says = "half of the latents are closer")
FIELD(max_dec.p95, SEPARATION("p95_max_decoder_cosine_sim"), .digits = 4,
      .row = "nearest neighbour, 95 %", .says = "one latent in 20 is closer")
FIELD(max_abs_dec.mean, SEPARATION("average_max_abs_decoder_cosine_sim"), .id = "mean_max_abs_cos",
      .head = "max |cos|", .digits = 4, .better = -1, .extra = true,
      .meaning = "the same with opposite directions counted as near",
      .row = "nearest neighbour, mean |cos|", .says = "the same, opposite directions counted",
      .beside = "random_average_max_abs_decoder_cosine_sim")
FIELD(base.max_abs_dec, SEPARATION("random_average_max_abs_decoder_cosine_sim"))
FIELD(moments.mean_abs, SEPARATION("mean_abs_cosine"), .id = "mean_abs_cos", .head = "mean |cos|", .digits = 5,
      .better = -1, .meaning = "|cosine| averaged over all pairs of directions",
      .row = "mean |cos| of pairs", .says = "0 only for orthogonal rows", .beside = "random_mean_abs_cosine",
      .compared = true)
FIELD(base.mean_abs, SEPARATION("random_mean_abs_cosine"))
FIELD(moments.coherence, SEPARATION("coherence"), .id = "coherence", .head = "coherence", .digits = 4, .better = -1,
      .meaning = "the largest |cosine| of any pair; 1 means two latents share one direction",
      .row = "largest |cos|", .says = "of any pair: coherence of the dictionary", .beside = "random_coherence",
      .compared = true, .brief = "max |cos|")
FIELD(base.coherence, SEPARATION("random_coherence"))
FIELD(base.welch, SEPARATION("welch_bound"))
FIELD(moments.mean, SEPARATION("mean_cosine"), .digits = 5, .row = "mean cos of pairs",
      .says = "> 0: rows share a common direction", .beside = "0")
FIELD(moments.std, SEPARATION("std_cosine"), .digits = 5, .row = "spread of cos",
      .says = "standard deviation over pairs", .beside = "random_std_cosine")
FIELD(base.std, SEPARATION("random_std_cosine"))
MEASURE(analyze_share_over_01, SEPARATION("share_abs_cosine_over_0.1"))
MEASURE(analyze_share_over_02, SEPARATION("share_abs_cosine_over_0.2"), .digits = 4, .percent = true,
        .row = "pairs with |cos| >= 0.2, %", .says = "the tail: directions that overlap",
        .beside = "random_share_abs_cosine_over_0.2")
MEASURE(analyze_random_share_over_02, SEPARATION("random_share_abs_cosine_over_0.2"))
MEASURE(analyze_share_over_05, SEPARATION("share_abs_cosine_over_0.5"), .digits = 4, .percent = true,
        .row = "pairs with |cos| >= 0.5, %", .says = "60 degrees or less apart",
        .beside = "random_share_abs_cosine_over_0.5")
MEASURE(analyze_random_share_over_05, SEPARATION("random_share_abs_cosine_over_0.5"))
FIELD(n_duplicates, SEPARATION("duplicate_pairs"), .id = "duplicates", .head = "duplicates", .better = -1,
      .extra = true, .meaning = "pairs of features that point almost the same way",
      .row = "near duplicates", .says = "pairs with a cos above --duplicate", .beside = "0", .compared = true)
FIELD(n_antiparallel, SEPARATION("antiparallel_pairs"), .row = "antiparallel pairs",
      .says = "below minus --duplicate: one direction, two signs", .beside = "0")
FIELD(graph.clustering[1], SEPARATION("clustering_0.3"), .digits = 4, .row = "clustering at cos > 0.3",
      .says = "closed triples; by chance: edge density", .beside = "edge_density_0.3")
FIELD(graph.density[1], SEPARATION("edge_density_0.3"))
FIELD(max_enc.mean, SEPARATION("average_max_encoder_cosine_sim"), .digits = 4, .row = "encoder neighbour, mean cos",
      .says = "likewise between encoder rows", .beside = "random_average_max_decoder_cosine_sim")
FIELD(enc_dec.mean, SEPARATION("average_encoder_decoder_cosine_sim"), .digits = 4,
      .row = "encoder with decoder, mean cos", .says = "of one latent; 1: it writes what it reads", .beside = "0",
      .compared = true)
FIELD(n_zero_rows, SEPARATION("zero_decoder_rows"))

/* spectrum */
FIELD(ranks.effective, SPECTRUM("effective_rank"), .id = "effective_rank", .head = "eff. rank", .digits = 2,
      .better = +1,
      .meaning = "exp(entropy) of the decoder Gram spectrum: how many dimensions the directions really use, at most d",
      .row = "effective rank", .says = "dimensions in use: exp(entropy) of singular values", .beside = "random_effective_rank",
      .compared = true, .brief = "eff. rank")
FIELD(random_ranks.effective, SPECTRUM("random_effective_rank"))
FIELD(ranks.participation, SPECTRUM("participation_ratio"), .digits = 2, .row = "participation ratio",
      .says = "(sum l)^2 / sum l^2: directions that carry weight", .beside = "random_participation_ratio",
      .compared = true)
FIELD(random_ranks.participation, SPECTRUM("random_participation_ratio"))
FIELD(ranks.stable, SPECTRUM("stable_rank"), .digits = 2, .row = "stable rank", .says = "sum l / max l",
      .beside = "random_stable_rank")
FIELD(random_ranks.stable, SPECTRUM("random_stable_rank"))
FIELD(ranks.largest, SPECTRUM("largest_eigenvalue"), .digits = 3, .row = "largest eigenvalue",
      .says = "weight of the commonest direction", .beside = "random_largest_eigenvalue")
FIELD(random_ranks.largest, SPECTRUM("random_largest_eigenvalue"))
FIELD(ranks.smallest, SPECTRUM("smallest_eigenvalue"), .digits = 4, .row = "smallest eigenvalue",
      .says = "0: a direction no latent covers", .beside = "random_smallest_eigenvalue")
FIELD(random_ranks.smallest, SPECTRUM("random_smallest_eigenvalue"))
FIELD(ranks.frame_potential, SPECTRUM("frame_potential"))
MEASURE(analyze_frame_over_bound, SPECTRUM("frame_potential_over_bound"), .digits = 4,
        .row = "frame potential / bound", .says = "sum of cos^2; 1 is a tight frame",
        .beside = "random_frame_potential_over_bound")
MEASURE(analyze_random_frame_over_bound, SPECTRUM("random_frame_potential_over_bound"))
FIELD(ranks.off_diagonal, SPECTRUM("off_diagonal_frobenius"))

/* usage */
FIELD(usage.n_tokens, USAGE("tokens"))
FIELD(usage.l0, USAGE("l0"), .digits = 2, .row = "active latents a token", .says = "L0: mean over the held-out tokens",
      .compared = true, .brief = "L0")
FIELD(usage.n_dead, USAGE("dead_latents"), .id = "silent", .head = "silent", .better = -1, .extra = true,
      .meaning = "latents that never fire on the held-out batch",
      .row = "silent latents", .says = "fired on none of these tokens", .compared = true, .brief = "silent")
FIELD(usage.frac_alive, USAGE("frac_alive"), .digits = 2, .percent = true, .row = "alive, %",
      .says = "the others fired on none")
FIELD(usage.median_alive, USAGE("median_density_alive"), .digits = 4, .percent = true,
      .row = "median density of the alive, %", .says = "share of tokens it fires on")
FIELD(usage.over_1, USAGE("freq_over_1_percent"), .digits = 3, .percent = true,
      .row = "latents on > 1 % of tokens, %", .says = "common latents")
FIELD(usage.over_10, USAGE("freq_over_10_percent"), .digits = 3, .percent = true,
      .row = "latents on > 10 % of tokens, %", .says = "dense latents", .compared = true)
FIELD(usage.mass_1, USAGE("normalized_freq_over_1_percent"))
FIELD(usage.mass_10, USAGE("normalized_freq_over_10_percent"), .digits = 2, .percent = true,
      .row = "their share of activations, %", .says = "of the dense latents, in all activations")
FIELD(usage.effective, USAGE("effective_latents"), .digits = 1, .row = "latents in effective use",
      .says = "exp of the entropy of the activations")

/* overlap */
FIELD(cooc.floor, OVERLAP("floor"))
FIELD(cooc.n_latents, OVERLAP("latents"))
FIELD(cooc.n_pairs, OVERLAP("pairs"))
FIELD(cooc.n_met, OVERLAP("pairs_met"))
FIELD(cooc.share_never, OVERLAP("share_never"), .digits = 2, .percent = true,
      .row = "pairs that never fired together, %", .says = "more than by chance: latents that exclude each other",
      .beside = "independent_share_never")
FIELD(cooc.expected_never, OVERLAP("independent_share_never"))
FIELD(cooc.of[SAE_OVERLAP_OVERLAP].mean, OVERLAP("overlap_mean"), .digits = 4,
      .row = "mean overlap of pairs that met", .says = "n_ij / min(n_i, n_j)", .compared = true)
FIELD(cooc.mean_phi, OVERLAP("mean_phi"), .digits = 4, .row = "mean phi", .says = "correlation of firing, pairs that met",
      .compared = true)
FIELD(cooc.phi_p95, OVERLAP("p95_phi"), .digits = 4, .row = "phi, 95 %", .says = "one pair in 20 is above")
FIELD(cooc.phi_over, OVERLAP("share_phi_over_0.2"), .digits = 3, .percent = true, .row = "pairs with phi > 0.2, %",
      .says = "of those that met")
FIELD(cooc.mean_pmi, OVERLAP("mean_pmi"), .digits = 3, .row = "mean PMI, nats", .says = "log of lift, pairs that met")
FIELD(cooc.pmi_p05, OVERLAP("p05_pmi"))
FIELD(cooc.pmi_p95, OVERLAP("p95_pmi"), .digits = 3, .row = "PMI, 95 %", .says = "one pair in 20 is above")
FIELD(cooc.abs_cos_met, OVERLAP("mean_abs_cosine_met"), .digits = 4, .row = "mean |cos|, met",
      .says = "pairs that fired together")
FIELD(cooc.abs_cos_never, OVERLAP("mean_abs_cosine_never"), .digits = 4, .row = "mean |cos|, never met",
      .says = "pairs that never did")
FIELD(cooc.corr_cos, OVERLAP("correlation_overlap_cosine"), .digits = 3, .row = "overlap with cos, r",
      .says = "< 0: those that fire together point apart", .beside = "0")
FIELD(cooc.corr_abs, OVERLAP("correlation_overlap_abs_cosine"), .digits = 3, .row = "overlap with |cos|, r",
      .says = "> 0: those that fire together share", .beside = "0", .compared = true)

/* competition: the run's own rule, and one for all runs */
FIELD(cooc.run.rule.recorded, COMPETITION("run_has_orthogonality"))
FIELD(cooc.run.rule.compete.tau, COMPETITION("tau"))
FIELD(cooc.run.rule.lambda2, COMPETITION("lambda2"))
FIELD(cooc.run.n_pairs, COMPETITION("competing_pairs"), .id = "own_pairs", .head = "own pairs", .extra = true,
      .meaning = "competing pairs under the run's own rule and threshold at that phase")
FIELD(cooc.run.mean_c, COMPETITION("mean_c"))
FIELD(cooc.run.loss, COMPETITION("orth_loss"))
FIELD(cooc.run.normalised, COMPETITION("orth_loss_normalised"))
FIELD(cooc.run.weighted, COMPETITION("orth_loss_weighted"))
FIELD(cooc.run.mean_abs_cos, COMPETITION("mean_abs_cosine"), .id = "own_mean_abs_cos", .head = "own |cos|",
      .digits = 4, .extra = true, .meaning = "mean |cosine| of those")
FIELD(cooc.run.max_abs_cos, COMPETITION("max_abs_cosine"))
FIELD(cooc.reference.rule.compete.tau, COMPETITION("reference_tau"))
FIELD(cooc.reference.n_pairs, COMPETITION("reference_competing_pairs"), .id = "n_pairs", .head = "comp. pairs",
      .column = "comp.pairs", .name = "competing pairs (overlap > 0.1)", .better = -1,
      .panel = "competing pairs", .axis = "pairs", .log_axis = true,
      .meaning = "pairs of features that compete, that is, fire together on more than a tenth of the rarer one's tokens (tau 0.1, one rule for all runs and phases)",
      .row = "competing pairs at tau 0.1", .says = "pairs that share > 0.1 of the rarer's tokens",
      .compared = true, .brief = "comp. pairs")
FIELD(cooc.reference.mean_c, COMPETITION("reference_mean_c"))
FIELD(cooc.reference.loss, COMPETITION("reference_orth_loss"), .digits = 3, .row = "L_orth at tau 0.1",
      .says = "sum of c |cos| over them", .compared = true)
FIELD(cooc.reference.mean_abs_cos, COMPETITION("reference_mean_abs_cosine"), .id = "pairs_mean_abs_cos",
      .head = "their |cos|", .column = "pairs |cos|", .name = "|cosine| of competing pairs", .digits = 4,
      .better = -1, .panel = "|cosine| of competing pairs", .axis = "mean over pairs",
      .meaning = "mean |cosine| of those competing pairs: what the orthogonality term is to push down",
      .row = "their mean |cos|", .says = "mean |cos| of the competing pairs", .compared = true, .brief = "their |cos|")
FIELD(cooc.reference.max_abs_cos, COMPETITION("reference_max_abs_cosine"))
/* clang-format on */

#undef SEPARATION
#undef SPECTRUM
#undef USAGE
#undef OVERLAP
#undef COMPETITION
#undef FIELD
#undef MEASURE
