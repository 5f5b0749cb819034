/* A PKCS#11 module in front of a real one, which it delays, lets hang or takes away as a file says.
 *
 * TEST_TOKEN_MODULE names the real module, TEST_TOKEN_CONTROL a file with one word and a number:
 * "delay MS" before each signature, "hang MS" once, "gone 0": the device was removed. Each login and
 * each signature adds a line to the control file's name with ".log" behind it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef unsigned long rv;
typedef struct { unsigned char major, minor; void *call[68]; } list; /* PKCS #11 v2.40, CK_FUNCTION_LIST */
enum { GET_SLOT_LIST = 4, GET_TOKEN_INFO = 6, LOGIN = 18, SIGN = 43, DEVICE_REMOVED = 0x32 };

static list mine, *theirs;

static void note(const char *what) {
    char path[4096];
    snprintf(path, sizeof path, "%s.log", getenv("TEST_TOKEN_CONTROL"));
    FILE *file = fopen(path, "a");
    if (file) { fprintf(file, "%s\n", what); fclose(file); }
}

static int state(char *word) {
    int number = 0;
    word[0] = 0;
    FILE *file = fopen(getenv("TEST_TOKEN_CONTROL"), "r");
    if (file) {
        if (fscanf(file, "%15s %d", word, &number) < 1) word[0] = 0;
        fclose(file);
    }
    return number;
}

static void pause_ms(int ms) {
    struct timespec span = { ms / 1000, (ms % 1000) * 1000000L };
    nanosleep(&span, NULL);
}

static rv sign(unsigned long session, void *data, unsigned long length, void *out, unsigned long *size) {
    char word[16];
    int number = state(word);
    note("sign");
    if (!strcmp(word, "gone")) return DEVICE_REMOVED;
    if (!strcmp(word, "delay") || !strcmp(word, "hang")) pause_ms(number);
    rv (*real)(unsigned long, void *, unsigned long, void *, unsigned long *) = theirs->call[SIGN];
    return real(session, data, length, out, size);
}

static rv login(unsigned long session, unsigned long user, void *pin, unsigned long length) {
    note("login");
    rv (*real)(unsigned long, unsigned long, void *, unsigned long) = theirs->call[LOGIN];
    return real(session, user, pin, length);
}

static rv slots(unsigned char present, void *found, unsigned long *count) {
    char word[16];
    state(word);
    if (!strcmp(word, "gone")) { *count = 0; return 0; }
    rv (*real)(unsigned char, void *, unsigned long *) = theirs->call[GET_SLOT_LIST];
    return real(present, found, count);
}

static rv token_info(unsigned long slot, void *info) {
    char word[16];
    int flags = state(word);
    rv (*real)(unsigned long, void *) = theirs->call[GET_TOKEN_INFO];
    rv result = real(slot, info);
    /* label 32, manufacturer 32, model 16, serial 16, then the flags */
    if (!result && !strcmp(word, "flags")) *(unsigned long *)((char *)info + 96) |= (unsigned long)flags;
    return result;
}

rv C_GetFunctionList(list **found) {
    void *module = dlopen(getenv("TEST_TOKEN_MODULE"), RTLD_NOW | RTLD_LOCAL);
    if (!module) return 5;
    rv (*get)(list **) = dlsym(module, "C_GetFunctionList");
    rv result = get(&theirs);
    if (result) return result;
    mine = *theirs;
    mine.call[GET_SLOT_LIST] = slots;
    mine.call[GET_TOKEN_INFO] = token_info;
    mine.call[LOGIN] = login;
    mine.call[SIGN] = sign;
    *found = &mine;
    return 0;
}
