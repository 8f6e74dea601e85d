/* Dining philosophers: left fork, right fork, and down in the other order. */
#define RIGHT ((_pid + 1) % N)
bool fork[N];

active [N] proctype Philosopher() {
  do
  :: d_step { !fork[_pid] -> fork[_pid] = 1 };
     d_step { !fork[RIGHT] -> fork[RIGHT] = 1 };
     fork[RIGHT] = 0;
     fork[_pid] = 0
  od
}
