// Lines are asked of `addr2line`, where there is one: only a test that fails comes here.
#include "places.h"

#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>

namespace emulation {
namespace {

struct Mention {
    const char *label;
    const void *place;
};

Mention mentions[4];
size_t n_mentions;
char of_region[160];

void append(char *text, size_t size, const char *more) {
    size_t length = strlen(text);
    snprintf(text + length, size - length, "%s", more);
}

// As `addr2line` wants it: relative to where the program was loaded, unless it has a fixed place.
uintptr_t address_in_file(const Dl_info &program, const void *place) {
    uintptr_t base = reinterpret_cast<uintptr_t>(program.dli_fbase);
    const Elf64_Ehdr *header = static_cast<const Elf64_Ehdr *>(program.dli_fbase);
    return reinterpret_cast<uintptr_t>(place) - (header->e_type == ET_DYN ? base : 0);
}

// The line, and those that called it where it is inlined.
void append_line(char *text, size_t size, const void *place) {
    Dl_info program;
    if (dladdr(place, &program) == 0) {
        return;
    }
    char path[512] = "/proc/self/exe", command[1024];
    if (strchr(program.dli_fname, '/') != nullptr) {
        snprintf(path, sizeof path, "%s", program.dli_fname);
    }
    snprintf(command, sizeof command, "exec addr2line -sie '%s' %#zx 2>/dev/null", path,
             static_cast<size_t>(address_in_file(program, place)));
    FILE *lines = popen(command, "r");
    if (lines == nullptr) {
        return;
    }
    char line[256];
    for (const char *before = " "; fgets(line, sizeof line, lines) != nullptr; before = " in ") {
        line[strcspn(line, "\n ")] = 0;
        append(text, size, before);
        append(text, size, line);
    }
    pclose(lines);
}

} // namespace

int32_t number_of_place(const void *place) {
    return static_cast<int32_t>(reinterpret_cast<intptr_t>(place) -
                                reinterpret_cast<intptr_t>(number_of_place));
}

const void *place_of_number(int32_t number) {
    return reinterpret_cast<const void *>(reinterpret_cast<intptr_t>(number_of_place) + number);
}

void mention(const char *label, const void *place) {
    if (n_mentions < sizeof mentions / sizeof mentions[0]) {
        // Of a call: the address is that of what follows.
        mentions[n_mentions++] = {label, static_cast<const char *>(place) - 1};
    }
}

void mention(const Region &region, const void *address) {
    uintptr_t at = reinterpret_cast<uintptr_t>(address);
    size_t size = region.end - region.begin;
    if (at < region.begin) {
        snprintf(of_region, sizeof of_region, "\n  %zu bytes before memory of %zu bytes",
                 static_cast<size_t>(region.begin - at), size);
    } else {
        snprintf(of_region, sizeof of_region, "\n  at byte %zu of memory of %zu bytes",
                 static_cast<size_t>(at - region.begin), size);
    }
}

void write_mentions(char *text, size_t size) {
    append(text, size, of_region);
    of_region[0] = 0;
    for (size_t i = 0; i < n_mentions; i++) {
        append(text, size, "\n  ");
        append(text, size, mentions[i].label);
        append_line(text, size, mentions[i].place);
    }
    n_mentions = 0;
}

} // namespace emulation
