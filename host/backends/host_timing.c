/* Timing on the CPU by the wall clock, and what the system tells about the processor. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "backends/kernel.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

enum { CACHE_LINE = 64 };

/* Changes a byte of every line. memset would not do: for so much memory it writes past the caches, which leaves in them
 * what is there. With OpenMP each core does a share, since some of the caches are its own. */
static void sweep(unsigned char *bytes, size_t count) {
    const size_t lines = count / CACHE_LINE;
#ifdef _OPENMP
#pragma omp parallel for schedule(static)
#endif
    for (size_t line = 0; line < lines; ++line)
        ++bytes[line * CACHE_LINE];
}

fv_status fv_host_time(fv_context *context, void *scratch, size_t bytes, fv_work *work, void *user, double *seconds,
                       bool *exposed) {
    (void)context;
    *exposed = false;
    sweep(scratch, bytes);
    const double start = fv_clock_seconds();
    FV_TRY(work(user));
    *seconds = fv_clock_seconds() - start;
    return FV_OK;
}

/* ---- what the system tells ---- */

/* The first line of a file without its end; "" if it cannot be read. */
static void read_line(const char *path, char *line, size_t size) {
    FILE *file = fopen(path, "r");
    line[0] = '\0';
    if (!file)
        return;
    if (!fgets(line, (int)size, file))
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    fclose(file);
}

/* The value of the first line "key : value" of /proc/cpuinfo; "" if there is none. */
static void read_cpuinfo(const char *key, char *value, size_t size) {
    const size_t length = strlen(key);
    char line[512];
    value[0] = '\0';
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file)
        return;
    while (!*value && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, length) != 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        const char *text = line + length + strspn(line + length, " \t");
        if (*text == ':')
            snprintf(value, size, "%s", text + 1 + strspn(text + 1, " \t"));
    }
    fclose(file);
}

/* Arm's processors have no name there, but numbers. */
static void read_model(char *model, size_t size) {
    read_cpuinfo("model name", model, size);
    if (*model)
        return;
    char implementer[32], part[32];
    struct utsname system;
    read_cpuinfo("CPU implementer", implementer, sizeof implementer);
    read_cpuinfo("CPU part", part, sizeof part);
    snprintf(model, size, "%.30s", uname(&system) == 0 ? system.machine : "CPU");
    if (*implementer && *part)
        fv_append(model, size, " implementer %s part %s", implementer, part);
}

static bool allowed(const cpu_set_t *set, int cpu) {
    return cpu < CPU_SETSIZE && CPU_ISSET((size_t)cpu, set);
}

/* "32768K", "1M", "512" in bytes; 0: neither. */
static int64_t parse_size(const char *text) {
    char *end;
    const long value = strtol(text, &end, 10);
    const int shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 0;
    return value > 0 && value < 1L << 30 ? (int64_t)value << shift : 0;
}

/* The last-level cache as one processor sees it: its size, and which processors share it. */
typedef struct cache {
    int level;
    int64_t bytes;
    char shared_by[256];
} cache;

static cache last_cache(int cpu) {
    cache last = {0};
    for (int index = 0; index < 8; ++index) {
        char path[128], text[64];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/level", cpu, index);
        read_line(path, text, sizeof text);
        const int level = atoi(text);
        if (level <= last.level)
            continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/size", cpu, index);
        read_line(path, text, sizeof text);
        last.level = level;
        last.bytes = parse_size(text);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/shared_cpu_list", cpu, index);
        read_line(path, last.shared_by, sizeof last.shared_by);
    }
    return last;
}

/* Bytes of all the last-level caches that this process may use: processors of several dies have several. Only where the
 * kernel does not list them is the C library asked, which may count those that a virtual machine has no part in. */
static int64_t cache_bytes(const cpu_set_t *set) {
    enum { MOST_CACHES = 64 };
    static const cache none;
    cache seen[MOST_CACHES];
    int count = 0;
    int64_t bytes = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && count < MOST_CACHES; ++cpu) {
        const cache last = allowed(set, cpu) ? last_cache(cpu) : none;
        bool known = last.bytes == 0;
        for (int i = 0; i < count && !known; ++i)
            known = !strcmp(seen[i].shared_by, last.shared_by);
        if (!known) {
            seen[count++] = last;
            bytes += last.bytes;
        }
    }
    const long by_library = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return bytes > 0 ? bytes : by_library > 0 ? by_library : 0;
}

void fv_host_machine(const fv_context *context, fv_machine *machine) {
    cpu_set_t set;
    char model[64];
    *machine = (fv_machine){0};
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        machine->units = CPU_COUNT(&set);
        machine->cache = cache_bytes(&set);
    } else { /* more processors than the set has room for */
        machine->units = (int)sysconf(_SC_NPROCESSORS_ONLN);
    }
    read_model(model, sizeof model);
    snprintf(machine->device, sizeof machine->device, "%s, %d thread%s", model, machine->units,
             machine->units == 1 ? "" : "s");
    if (strstr(context->description, "oneDNN"))
        snprintf(machine->libraries, sizeof machine->libraries, "%s", context->description);
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    machine->memory = pages > 0 && page > 0 ? (int64_t)pages * page : 0;
}

/* The clock of the first processor, as good as the system knows it: in a virtual machine it may be the nominal one. */
void fv_host_conditions(const fv_context *context, fv_conditions *conditions) {
    (void)context;
    char text[64];
    *conditions = (fv_conditions){0};
    read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", text, sizeof text);
    conditions->clock = (int)(strtol(text, NULL, 10) / 1000); /* from kHz */
    if (conditions->clock > 0)
        return;
    read_cpuinfo("cpu MHz", text, sizeof text);
    conditions->clock = (int)strtol(text, NULL, 10);
}
