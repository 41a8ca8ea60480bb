/* SPDX-License-Identifier: MIT */
/* err : one status, and one sentence for people, from wherever something failed.
 *
 * Every function that can fail returns an enum sae_status and takes a struct sae_err last.
 * The library never prints and never exits; main reads the message and chooses the exit code.
 * Messages: lower case, no full stop, the subject in single quotes, then what was found,
 * what was expected, and what to do:
 *   cannot use 'a.h5': width 64, but 'run_1' was trained on 128; harvest again with --layer 3 */
#ifndef SAE_LIB_BASE_ERR_H
#define SAE_LIB_BASE_ERR_H

#ifdef __cplusplus
extern "C" {
#endif

enum sae_status {
    SAE_OK = 0,
    SAE_ENOMEM,   /* out of memory */
    SAE_EIO,      /* the system refused: open, read, write, disk full */
    SAE_EFORMAT,  /* the content is not what it should be: wrong kind, damaged, malformed */
    SAE_EVERSION, /* written by a newer format version than this build knows */
    SAE_ERANGE,   /* a number outside what the file or the model allows */
    SAE_EARG,     /* settings that cannot be used, alone or together */
    SAE_EBACKEND, /* a numeric backend or library failed */
    SAE_EINTR     /* stopped by SIGINT or SIGTERM; state was saved where that applies */
};

/* Filled by the callee on failure only. Callers may pass NULL where no message is wanted. */
struct sae_err {
    enum sae_status code;
    char msg[1000];
};

#if defined(__GNUC__)
#define SAE_MUST_CHECK __attribute__((warn_unused_result))
#define SAE_PRINTF(fmt_arg, first) __attribute__((format(printf, fmt_arg, first)))
#else
#define SAE_MUST_CHECK
#define SAE_PRINTF(fmt_arg, first)
#endif

/* Writes the message and returns code, so that `return sae_err_set(...)` fails in one line. */
enum sae_status sae_err_set(struct sae_err *err, enum sae_status code, const char *fmt, ...)
    SAE_PRINTF(3, 4);

/* Puts "context: " before the message already in err; returns the code it held. */
enum sae_status sae_err_prefix(struct sae_err *err, const char *fmt, ...) SAE_PRINTF(2, 3);

/* Forward a failure at once, from a function that has nothing to undo. */
#define SAE_TRY(call)                                                                              \
    do {                                                                                           \
        const enum sae_status sae_try_status_ = (call);                                            \
        if (sae_try_status_ != SAE_OK)                                                             \
            return sae_try_status_;                                                                \
    } while (0)

/* Forward a failure through the label `done`, which releases what the function holds. */
#define SAE_GO(status, call)                                                                       \
    do {                                                                                           \
        (status) = (call);                                                                         \
        if ((status) != SAE_OK)                                                                    \
            goto done;                                                                             \
    } while (0)

#ifdef __cplusplus
}
#endif

#endif /* SAE_LIB_BASE_ERR_H */
