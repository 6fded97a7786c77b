/* version.h - the version of Skein, for `skein --version` and the rock. */
#ifndef SK_BASE_VERSION_H
#define SK_BASE_VERSION_H

#define SK_VERSION "0.1.0-dev"

#endif
