/* Promises that only a broker can break. */
#include "tests/contract/contract.h"

const struct promise broker_promises[] = {
    {0},
};
