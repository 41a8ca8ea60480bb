/* SPDX-License-Identifier: MIT */
/* spm : SentencePiece behind C; the only C++ of the language model. */
#include "lm/spm.h"

#include <sentencepiece_processor.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

struct sae_spm {
    sentencepiece::SentencePieceProcessor processor;
};

struct sae_spm *sae_spm_load(const char *bytes, size_t n, char *why, size_t n_why)
{
    try {
        auto spm = std::make_unique<sae_spm>();
        const auto status = spm->processor.LoadFromSerializedProto(std::string_view(bytes, n));
        if (status.ok())
            return spm.release();
        std::snprintf(why, n_why, "%s", status.ToString().c_str());
    } catch (const std::exception &e) {
        std::snprintf(why, n_why, "%s", e.what());
    }
    return nullptr;
}

void sae_spm_close(struct sae_spm *spm)
{
    delete spm;
}

int sae_spm_size(const struct sae_spm *spm)
{
    return spm->processor.GetPieceSize();
}

int sae_spm_bos(const struct sae_spm *spm)
{
    return spm->processor.bos_id();
}

int sae_spm_eos(const struct sae_spm *spm)
{
    return spm->processor.eos_id();
}

int sae_spm_pad(const struct sae_spm *spm)
{
    return spm->processor.pad_id();
}

int sae_spm_unk(const struct sae_spm *spm)
{
    return spm->processor.unk_id();
}

const char *sae_spm_piece(const struct sae_spm *spm, int id, size_t *len)
{
    const std::string &piece = spm->processor.IdToPiece(id);
    *len = piece.size();
    return piece.data();
}

bool sae_spm_is_control(const struct sae_spm *spm, int id)
{
    return spm->processor.IsControl(id) || spm->processor.IsUnknown(id);
}

bool sae_spm_is_byte(const struct sae_spm *spm, int id)
{
    return spm->processor.IsByte(id);
}

bool sae_spm_encode(const struct sae_spm *spm, const char *text, size_t len, int **ids, size_t *n,
                    size_t *cap)
{
    try {
        std::vector<int> found;
        if (!spm->processor.Encode(std::string_view(text, len), &found).ok())
            return false;
        if (found.size() > *cap - *n) {
            const size_t wider = (*n + found.size()) * 2;
            void *fresh = std::realloc(*ids, wider * sizeof **ids);
            if (fresh == nullptr)
                return false;
            *ids = static_cast<int *>(fresh);
            *cap = wider;
        }
        if (!found.empty())
            std::memcpy(*ids + *n, found.data(), found.size() * sizeof **ids);
        *n += found.size();
        return true;
    } catch (const std::exception &) {
        return false;
    }
}
