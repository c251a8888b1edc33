// SPDX-License-Identifier: GPL-2.0-only
// Boost.Interprocess on System V shared memory, as its documentation has it: boost make|use|gone FILE. The key is ftok(3)'s of the file.
#include <boost/interprocess/interprocess_fwd.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/sync/interprocess_condition.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <boost/interprocess/xsi_shared_memory.hpp>
#include <cstring>
#include <iostream>
#include <new>
#include <string>
#include <unistd.h>

using namespace boost::interprocess;

struct Shared {
	interprocess_mutex mutex;
	interprocess_condition changed;
	int turn = 0;
	long sum = 0;
};

static const int rounds = 1000;

// Two processes add in turns: each waits for the other.
static void take_turns(Shared *shared, int mine)
{
	scoped_lock<interprocess_mutex> lock(shared->mutex);
	for (int i = 0; i < rounds; i++) {
		while (shared->turn != mine)
			shared->changed.wait(lock);
		shared->sum += mine + 1;
		shared->turn = !mine;
		shared->changed.notify_all();
	}
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	try {
		const std::string what = argv[1];
		const xsi_key key(argv[2], 1);

		if (what == "make") {
			xsi_shared_memory memory(create_only, key, 3 << 20);
			mapped_region region(memory, read_write);
			std::memset(static_cast<char *>(region.get_address()) + 4096, 7, region.get_size() - 4096);
			auto *shared = new (region.get_address()) Shared;
			std::cout << "made " << memory.get_shmid() << std::endl;
			take_turns(shared, 0);
		} else if (what == "use") {
			xsi_shared_memory memory(open_only, key);
			mapped_region region(memory, read_write);
			auto *shared = static_cast<Shared *>(region.get_address());
			if (region.get_size() != 3 << 20 || static_cast<char *>(region.get_address())[(3 << 20) - 1] != 7) {
				std::cerr << "not what was written\n";
				return 1;
			}
			take_turns(shared, 1);
			while (true) { // the other's last turn came before ours
				scoped_lock<interprocess_mutex> lock(shared->mutex);
				if (shared->sum == 3 * rounds)
					break;
			}
			mapped_region other(memory, read_only);
			std::cout << "sum " << static_cast<const Shared *>(other.get_address())->sum << std::endl;
			xsi_shared_memory::remove(memory.get_shmid());
		} else {
			try {
				xsi_shared_memory memory(open_only, key);
				std::cerr << "it is still there\n";
				return 1;
			} catch (const interprocess_exception &error) {
				if (error.get_error_code() != not_found_error)
					throw;
			}
		}
	} catch (const interprocess_exception &error) {
		std::cerr << error.what() << ", error code " << error.get_error_code() << '\n';
		return 1;
	}
	return 0;
}
