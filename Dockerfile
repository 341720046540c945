# The program on a CPU:
#   docker build -t omniposead . --build-arg INDEX=ADDRESS
#   docker run --rm -v "$PWD/mine:/work" omniposead anomaly_nerf_lego.py --data_dir /work --ckpt_dir /work/ckpts --obj pump
# INDEX is PyTorch's package index for CPUs; without it the image has torch's GPU libraries, too, and is far larger.
FROM python:3.13-slim
ARG INDEX
WORKDIR /app
COPY . .
RUN pip install --no-cache-dir ${INDEX:+--extra-index-url $INDEX} -r requirements.txt && python -m pipeline.warm_up
ENTRYPOINT ["python"]
CMD ["-m", "data"]
