/* SPDX-License-Identifier: MIT
 *
 * Attributes and language guards that every Stook header uses. No types.
 */
#ifndef STOOK_BASE_H
#define STOOK_BASE_H

#ifdef __cplusplus
#define STOOK_BEGIN_DECLS extern "C" {
#define STOOK_END_DECLS }
#else
#define STOOK_BEGIN_DECLS
#define STOOK_END_DECLS
#endif

#if defined __GNUC__
#define STOOK_API __attribute__((visibility("default")))
#define STOOK_NODISCARD __attribute__((warn_unused_result))
#else
#define STOOK_API
#define STOOK_NODISCARD
#endif

#endif
