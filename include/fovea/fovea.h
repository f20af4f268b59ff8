/* Fovea: a CNN engine. This header brings in the whole public API. */
#ifndef FOVEA_FOVEA_H
#define FOVEA_FOVEA_H

#include <fovea/context.h>
#include <fovea/data.h>
#include <fovea/filters.h>
#include <fovea/fold.h>
#include <fovea/matrix.h>
#include <fovea/network.h>
#include <fovea/operations.h>
#include <fovea/status.h>
#include <fovea/training.h>

#endif
