/* SPDX-License-Identifier: MIT */
/*
 * faults.h - ends vizattach at a chosen operation or moment, and counts the operations.
 *
 * Linked into vizattach-faults and the tests, never into vizattach.  The environment says what:
 *
 *   VZ_FAULT_COUNT=FILE     write the operations, one a line, when the program ends
 *   VZ_FAULT_STEP=K         at the K-th operation (from 1) ...
 *   VZ_FAULT_AFTER_US=N     ... or N us after it; without a STEP, N us after the start ...
 *   VZ_FAULT_SIGNAL=NAME    ... send KILL, TERM or INT to ourselves (default: KILL)
 *   VZ_FAULT_THREAD=TID     borrow only this thread of the target
 */
#ifndef VZ_TESTS_FAULTS_H
#define VZ_TESTS_FAULTS_H

/** Read the environment (anew) and count from 0.  A constructor calls it. */
void vz_faults_arm(void);
/** Write the file of VZ_FAULT_COUNT.  A destructor calls it. */
void vz_faults_report(void);

#endif /* VZ_TESTS_FAULTS_H */
