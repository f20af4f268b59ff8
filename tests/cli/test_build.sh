# A build without any vendor's library: it compiles, says what it leaves out and how to get it, and still trains.
. "$(dirname "$0")/common.sh"
expect 0 "" cmake -S "$source" -B bare -DFOVEA_CUDA=OFF -DFOVEA_ONEDNN=OFF -DBUILD_TESTING=OFF -DFOVEA_WERROR=ON
for part in CUDA CUDNN ONEDNN; do
  grep -q "Backend $part: left out" out.txt || fail "configuring says nothing of $part"
done
cmake --build bare --target fovea_program -j 2 >build.txt 2>&1 || fail "build: $(tail -n 5 build.txt)"
bare/fovea --version | grep -qx 'backends: emulated reference' || fail "backends: $(bare/fovea --version)"
small_mnist data 24 8
expect 0 "" bare/fovea train --data data --batch 10
for backend in cuda cudnn onednn; do
  expect 2 "backend $backend is not in this build: " bare/fovea train --data data --backend $backend
done
# What is asked for and not there stops the configuration, with the remedy.
cmake -S "$source" -B strict -DFOVEA_CUDA=OFF -DFOVEA_CUDNN=ON >out.txt 2>&1 && fail "FOVEA_CUDNN=ON is ignored"
grep -q 'FOVEA_CUDNN=ON, but' out.txt || fail "FOVEA_CUDNN=ON without CUDA: $(tail -n 5 out.txt)"
finish
