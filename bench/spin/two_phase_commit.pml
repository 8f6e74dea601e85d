/* Two-phase commit, after L. Lamport's `TwoPhase`, of up to 12 managers, in one process: a process for each of them is as many
   states at the same speed, but three times the state vector. */
byte rm[N];   /* 0 working, 1 prepared, 2 committed, 3 aborted */
byte tm;      /* 0 open, 1 committed, 2 aborted */
short said, heard; /* masks of those that said that they are prepared, and were heard */
bool do_commit, do_abort;

#define MANAGER(i) \
  :: d_step { tm == 0 && (said & (1 << i)) -> heard = heard | (1 << i) } \
  :: d_step { rm[i] == 0 -> rm[i] = 1; said = said | (1 << i) } \
  :: d_step { rm[i] == 0 -> rm[i] = 3 } \
  :: d_step { do_commit -> rm[i] = 2 } \
  :: d_step { do_abort -> rm[i] = 3 }

active proctype System() {
  do
  :: d_step { tm == 0 && heard == (1 << N) - 1 -> tm = 1; do_commit = 1 }
  :: d_step { tm == 0 -> tm = 2; do_abort = 1 }
#if N > 0
  MANAGER(0)
#endif
#if N > 1
  MANAGER(1)
#endif
#if N > 2
  MANAGER(2)
#endif
#if N > 3
  MANAGER(3)
#endif
#if N > 4
  MANAGER(4)
#endif
#if N > 5
  MANAGER(5)
#endif
#if N > 6
  MANAGER(6)
#endif
#if N > 7
  MANAGER(7)
#endif
#if N > 8
  MANAGER(8)
#endif
#if N > 9
  MANAGER(9)
#endif
#if N > 10
  MANAGER(10)
#endif
#if N > 11
  MANAGER(11)
#endif
  od
}
