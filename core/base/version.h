/* version.h - which Skein this is; `skein --version` and the rock's version come from here. */
#ifndef SK_BASE_VERSION_H
#define SK_BASE_VERSION_H

#define SK_VERSION "0.1.0-dev"

#endif
