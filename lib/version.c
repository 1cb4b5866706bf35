/* SPDX-License-Identifier: MIT
 *
 * The version that the library was built as.
 */
#include <stook/version.h>

const char *stook_version(void)
{
    return STOOK_VERSION;
}
