/* SPDX-License-Identifier: MIT */
/* preset : SAEBench's labelled sets (its dataset_info.py and dataset_utils.py, v0.6.0). */
#include "harvest/preset.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/fs.h"

/* --- the data sets ------------------------------------------------------------------------ */

static const struct harvest_name bios_1[] = {
    {"0",  "accountant"},
    {"1",  "architect" },
    {"2",  "attorney"  },
    {"6",  "dentist"   },
    {"9",  "filmmaker" },
    {NULL, NULL        }
};
static const struct harvest_name bios_2[] = {
    {"11", "journalist"  },
    {"13", "nurse"       },
    {"14", "painter"     },
    {"18", "photographer"},
    {"19", "physician"   },
    {NULL, NULL          }
};
static const struct harvest_name bios_3[] = {
    {"20", "poet"        },
    {"21", "professor"   },
    {"22", "psychologist"},
    {"25", "surgeon"     },
    {"26", "teacher"     },
    {NULL, NULL          }
};
static const struct harvest_name genders[] = {
    {"0",  "male"  },
    {"1",  "female"},
    {NULL, NULL    }
};
static const struct harvest_name products[] = {
    {"1",  "Toys_and_Games"             },
    {"2",  "Cell_Phones_and_Accessories"},
    {"3",  "Industrial_and_Scientific"  },
    {"5",  "Musical_Instruments"        },
    {"6",  "Electronics"                },
    {NULL, NULL                         }
};
static const struct harvest_name ratings[] = {
    {"1",  "1.0"},
    {"5",  "5.0"},
    {NULL, NULL }
};
static const struct harvest_name codes[] = {
    {"C",      "C"     },
    {"Python", "Python"},
    {"HTML",   "HTML"  },
    {"Java",   "Java"  },
    {"PHP",    "PHP"   },
    {NULL,     NULL    }
};
static const struct harvest_name news[] = {
    {"0",  "World"   },
    {"1",  "Sports"  },
    {"2",  "Business"},
    {"3",  "Sci/Tech"},
    {NULL, NULL      }
};
static const struct harvest_name languages[] = {
    {"en", "en"},
    {"fr", "fr"},
    {"de", "de"},
    {"es", "es"},
    {"nl", "nl"},
    {NULL, NULL}
};

#define BIOS                                                                                       \
    .origin = "LabHC/bias_in_bios", .text = "hard_text", .label = "profession",                    \
    .attribute = "gender", .expected = "hard_text, profession, gender", .values = genders

const struct harvest_preset harvest_presets[] = {
    {.name = "bias_in_bios_class_set1",      BIOS, .classes = bios_1},
    {.name = "bias_in_bios_class_set2",                     BIOS, .classes = bios_2},
    {.name = "bias_in_bios_class_set3",      BIOS, .classes = bios_3},
    {.name = "amazon_reviews_mcauley_1and5",
     .origin = "canrager/amazon_reviews_mcauley_1and5",
     .text = "text",
     .label = "category",
     .attribute = "rating",
     .expected = "text, category, rating",
     .classes = products,
     .values = ratings},
    {.name = "amazon_reviews_mcauley_1and5_sentiment",
     .origin = "canrager/amazon_reviews_mcauley_1and5",
     .text = "text",
     .label = "rating",
     .expected = "text, rating",
     .classes = ratings},
    {.name = "github-code",
     .origin = "codeparrot/github-code",
     .kind = HARVEST_CODE,
     .text = "code",
     .label = "language",
     .expected = "code, language (or content, path)",
     .classes = codes,
     .skip_chars = 50 * 3, /* licences: 50 tokens of 3 characters, and a context of 128 after */
     .least_chars = (50 + 128) * 3,
     .first = true},
    {.name = "ag_news",
     .origin = "fancyzhx/ag_news",
     .text = "text",
     .label = "label",
     .expected = "text, label",
     .classes = news},
    {.name = "europarl",
     .origin = "Helsinki-NLP/europarl",
     .kind = HARVEST_PARALLEL,
     .expected = "translation {two languages} in JSON lines, or two columns, one a language: "
                 "en fr, fr it, de en, es fr, nl pt", .classes = languages,
     .first = true},
    {NULL                 },
};

/* SAEBench takes each language from a pair of its own, so that no text stands beside its
 * translation. */
static const struct {
    const char *taken, *other;
} pairs[] = {
    {"en", "fr"},
    {"fr", "it"},
    {"de", "en"},
    {"es", "fr"},
    {"nl", "pt"}
};

/* Suffixes by which the data set's own loader tells languages. */
static const struct harvest_name suffixes[] = {
    {".c",    "C"     },
    {".h",    "C"     },
    {".py",   "Python"},
    {".html", "HTML"  },
    {".java", "Java"  },
    {".php",  "PHP"   },
    {".php3", "PHP"   },
    {".php4", "PHP"   },
    {".php5", "PHP"   },
    {".phps", "PHP"   },
    {".phpt", "PHP"   },
    {NULL,    NULL    }
};

/* --- names -------------------------------------------------------------------------------- */

static const struct harvest_preset *find_preset(const char *name, size_t len)
{
    for (const struct harvest_preset *p = harvest_presets; p->name != NULL; p++)
        if (strlen(p->name) == len && memcmp(p->name, name, len) == 0)
            return p;
    return NULL;
}

enum sae_status harvest_preset_parse(const struct harvest_preset **ret, const char **ret_path,
                                     const char *source, struct sae_err *err)
{
    const char *sign = strchr(source, '=');
    *ret = NULL;
    *ret_path = source;
    if (sign == NULL || sae_fs_is_file(source) || sae_fs_is_dir(source))
        return SAE_OK;
    const char *name = sign;
    while (name > source && name[-1] != '/')
        name--;
    *ret = find_preset(name, (size_t)(sign - name));
    *ret_path = sign + 1;
    if (*ret != NULL)
        return SAE_OK;
    char known[400] = "";
    size_t len = 0;
    for (const struct harvest_preset *p = harvest_presets; p->name != NULL; p++)
        len +=
            (size_t)snprintf(known + len, sizeof known - len, "%s%s", len > 0 ? ", " : "", p->name);
    return sae_err_set(err, SAE_EARG, "--labels %s: there is no data set '%.*s'; known are %s",
                       source, (int)(sign - name), name, known);
}

/* --- rows --------------------------------------------------------------------------------- */

bool harvest_preset_layout(const struct harvest_preset *preset,
                           bool (*has)(const void *row, const char *column), const void *row,
                           struct harvest_layout *ret)
{
    *ret = (struct harvest_layout){preset->text, preset->label, preset->attribute, NULL};
    if (preset->kind == HARVEST_PARALLEL) {
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
            if (has(row, pairs[i].taken) && has(row, pairs[i].other)) {
                ret->text = ret->class = pairs[i].taken;
                return true;
            }
        return false;
    }
    if (preset->kind == HARVEST_CODE && !has(row, ret->text) && has(row, "content"))
        ret->text = "content";
    if (preset->kind == HARVEST_CODE && !has(row, ret->label) && has(row, "path"))
        ret->label = "path";
    return has(row, ret->text) && has(row, ret->label) &&
           (ret->attribute == NULL || has(row, ret->attribute));
}

static const char *find_name(const struct harvest_name *names, const char *text)
{
    size_t len = strlen(text);
    for (const struct harvest_name *n = names; n->key != NULL; n++)
        if (strcmp(n->name, text) == 0)
            return n->name;
    if (len > 2 && strcmp(text + len - 2, ".0") == 0) /* pandas writes whole numbers as "1.0" too */
        len -= 2;
    for (const struct harvest_name *n = names; n->key != NULL; n++)
        if (strlen(n->key) == len && memcmp(n->key, text, len) == 0)
            return n->name;
    return NULL;
}

const char *harvest_preset_class(const struct harvest_preset *preset, const char *label)
{
    const char *name = find_name(preset->classes, label);
    if (name != NULL || preset->kind != HARVEST_CODE)
        return name;
    const char *dot = strrchr(label, '.');
    return dot != NULL ? find_name(suffixes, dot) : NULL;
}

const char *harvest_preset_value(const struct harvest_preset *preset, const char *attribute)
{
    return find_name(preset->values, attribute);
}

bool harvest_preset_cut(const struct harvest_preset *preset, const char *text, size_t len,
                        size_t *ret)
{
    size_t chars = 0;
    *ret = 0;
    if (preset->least_chars == 0)
        return true;
    for (size_t i = 0; i < len; i++) {
        if (((unsigned char)text[i] & 0xc0) == 0x80) /* goes on with a character */
            continue;
        if (chars == preset->skip_chars)
            *ret = i;
        if (chars++ == preset->least_chars)
            return true;
    }
    return false;
}
