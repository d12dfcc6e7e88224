/* version.h: what this binary says it is. The build gives the values; no date, so builds repeat. */
#ifndef SLIPWAY_VERSION_H
#define SLIPWAY_VERSION_H

#ifndef SLIPWAY_VERSION
#define SLIPWAY_VERSION "0.0.0"
#endif
#ifndef SLIPWAY_REVISION
#define SLIPWAY_REVISION "unknown"
#endif
#define SLIPWAY_CONTRACT_VERSION 1

#endif
