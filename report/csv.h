/* SPDX-License-Identifier: MIT */
/* csv : the report's numbers as tables for pandas and R, one value a row. docs/FORMATS.md lists the
 * columns. */
#ifndef SAE_REPORT_CSV_H
#define SAE_REPORT_CSV_H

#include <stdio.h>

#include "report/report.h"

/* Writes metrics.csv, runs.csv, groups.csv, comparisons.csv and series.csv into a folder, which is made;
 * to a path that ends in .csv, metrics.csv alone. Fails: SAE_EIO */
SAE_MUST_CHECK enum sae_status report_csv(const struct report *report, const char *path,
                                          struct sae_err *err);
/* metrics.csv to a stream. */
SAE_MUST_CHECK enum sae_status report_csv_metrics(const struct report *report, FILE *to,
                                                  struct sae_err *err);

/* Writes one text cell: quoted where RFC 4180 asks for it; a text that a spreadsheet would take for a
 * formula (it begins with = + - @ and is no number) gets a quote mark ' in front. */
void csv_text(FILE *to, const char *text);
/* Writes the shortest text that reads back as x; nothing where x is not finite. */
void csv_number(FILE *to, double x);

#endif /* SAE_REPORT_CSV_H */
