/* folder.h - temporary folders of tests: gone at their end, with all that is in them. */
#ifndef OFFPEAK_TESTS_LIB_FOLDER_H
#define OFFPEAK_TESTS_LIB_FOLDER_H

#include <ftw.h>
#include <stdio.h>

static inline int folder_remove_one(const char *path, const struct stat *st, int type,
                                    struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void folder_remove(const char *dir)
{
    (void)nftw(dir, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
