/* Taking samples until they agree. */
#include "measure/sample.h"

#include <math.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"

enum { MIB = 1024 * 1024, UNKNOWN_CACHE = 32 * MIB, MOST_SCRATCH = 1024 * MIB };

/* Time runs out for good, after this many times protocol->most and with so few samples. */
enum { PATIENCE = 10, FEWEST_SAMPLES = 3 };

/* Of protocol->most, for the warm-up; and what counts as faster. */
static const double warm_up_share = 0.1, faster = 0.98;

fv_protocol fv_protocol_default(void) {
    return (fv_protocol){.samples = 10, .least = 0.5, .noise = 0.005, .most = 3, .warm = false};
}

fv_status fv_scratch_allocate(fv_scratch *scratch, fv_context *context) {
    fv_machine machine = {0};
    context->backend->machine(context, &machine);
    const int64_t cache = machine.cache > 0 ? fv_min(machine.cache, MOST_SCRATCH) : UNKNOWN_CACHE;
    *scratch = (fv_scratch){.context = context};
    const size_t bytes = (size_t)fv_min(2 * cache, MOST_SCRATCH);
    FV_TRY(context->backend->allocate(context, bytes, &scratch->data));
    scratch->bytes = bytes;
    return FV_OK;
}

void fv_scratch_release(fv_scratch *scratch) {
    if (scratch->data)
        scratch->context->backend->deallocate(scratch->context, scratch->data);
    *scratch = (fv_scratch){0};
}

/* ---- one measurement ---- */

typedef struct sampler {
    const fv_scratch *scratch;
    const fv_protocol *protocol;
    fv_work *work;
    void *user;
    double *seconds; /* from malloc */
    int64_t count, capacity;
    double sum;
    bool exposed; /* any sample */
} sampler;

static fv_status time_call(const sampler *s, double *seconds, bool *exposed) {
    fv_context *context = s->scratch->context;
    const bool warm = s->protocol->warm;
    *exposed = false;
    return context->backend->time(context, warm ? NULL : s->scratch->data, warm ? 0 : s->scratch->bytes, s->work,
                                  s->user, seconds, exposed);
}

/* Until the calls get no faster: the first ones load code, fault pages in and wake the processor up. */
static fv_status warm_up(const sampler *s) {
    const double most = s->protocol->most, start = fv_clock_seconds();
    double best = INFINITY;
    for (int calls = 1;; ++calls) {
        double seconds = 0;
        bool exposed = false;
        FV_TRY(time_call(s, &seconds, &exposed));
        const double elapsed = fv_clock_seconds() - start;
        const bool slow = most > 0 && elapsed > most; /* what a first call adds matters little to such a long one */
        if (slow || (calls >= 2 && (seconds >= faster * best || elapsed > warm_up_share * most)))
            return FV_OK;
        best = seconds < best ? seconds : best;
    }
}

static fv_status add_sample(sampler *s) {
    if (s->count == s->capacity) {
        const int64_t capacity = s->capacity ? fv_min(2 * s->capacity, FV_MOST_SAMPLES) : 64;
        double *grown = realloc(s->seconds, (size_t)capacity * sizeof *grown);
        if (!grown)
            return fv_fail(FV_NO_MEMORY, "no memory for %lld samples", (long long)capacity);
        s->seconds = grown;
        s->capacity = capacity;
    }
    double seconds = 0;
    bool exposed = false;
    FV_TRY(time_call(s, &seconds, &exposed));
    s->seconds[s->count++] = seconds;
    s->sum += seconds;
    s->exposed |= exposed;
    return FV_OK;
}

fv_sampling fv_sampling_progress(const fv_protocol *protocol, int64_t count, double sum, double spread,
                                 double elapsed) {
    if (count < 1)
        return FV_GO_ON;
    if (count >= protocol->samples && sum >= protocol->least && spread <= protocol->noise)
        return FV_SETTLED;
    const bool late = elapsed > protocol->most && count >= protocol->samples;
    const bool hopeless = elapsed > PATIENCE * protocol->most && count >= FEWEST_SAMPLES;
    return late || hopeless || count >= FV_MOST_SAMPLES ? FV_OUT_OF_TIME : FV_GO_ON;
}

/* Whether the samples agree is looked at each time that there are an eighth more of them: that takes sorting. */
static fv_status take_samples(sampler *s) {
    const double start = fv_clock_seconds();
    double spread = INFINITY;
    int64_t next_look = fv_max(s->protocol->samples, 1);
    for (;;) {
        FV_TRY(add_sample(s));
        if (s->count >= next_look && s->sum >= s->protocol->least) {
            const fv_summary summary = fv_summarize(s->seconds, s->count);
            spread = fv_spread(&summary);
            next_look = s->count + s->count / 8 + 1;
        }
        if (fv_sampling_progress(s->protocol, s->count, s->sum, spread, fv_clock_seconds() - start) != FV_GO_ON)
            return FV_OK;
    }
}

fv_status fv_measure(const fv_scratch *scratch, const fv_protocol *protocol, fv_work *work, void *user,
                     fv_timing *timing) {
    *timing = (fv_timing){0};
    sampler s = {.scratch = scratch, .protocol = protocol, .work = work, .user = user};
    fv_status status;
    FV_TRY_GOTO(status, warm_up(&s), done);
    FV_TRY_GOTO(status, take_samples(&s), done);
    timing->summary = fv_summarize(s.seconds, s.count);
    timing->settled = s.count >= protocol->samples && fv_spread(&timing->summary) <= protocol->noise;
    timing->exposed = s.exposed;
done:
    free(s.seconds);
    return status;
}
