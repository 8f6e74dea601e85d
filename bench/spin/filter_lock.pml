/* Peterson's lock of five processes. Of a process: 0 away, 2l - 1 at level l before it is the last to come, 2l waiting
   there, 2N - 1 inside. */
#define BELOW(k, place) (k == _pid || at[k] < (place))
#define ALONE(place) (BELOW(0, place) && BELOW(1, place) && BELOW(2, place) && BELOW(3, place) && BELOW(4, place))
byte at[N];
byte last[N] = 1; /* of each level, from 1 on */

active [N] proctype Process() {
  do
  :: d_step { at[_pid] == 0 -> at[_pid] = 1 }
  :: d_step { (at[_pid] & 1) && at[_pid] < 2 * N - 1 -> last[(at[_pid] + 1) / 2] = _pid + 1; at[_pid] = at[_pid] + 1 }
  :: d_step { at[_pid] && !(at[_pid] & 1) && (last[at[_pid] / 2] != _pid + 1 || ALONE(at[_pid] - 1)) ->
       at[_pid] = at[_pid] + 1 }
  :: d_step { at[_pid] == 2 * N - 1 -> at[_pid] = 0 }
  od
}
