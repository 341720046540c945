# The program on a CPU:
#   docker build -t omniposead .
#   docker run --rm -v "$PWD/mine:/work" omniposead anomaly_nerf_lego.py --data_dir /work --ckpt_dir /work/ckpts --obj pump
FROM python:3.13-slim
WORKDIR /app
COPY . .
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -r requirements.txt
ENTRYPOINT ["python"]
CMD ["-m", "data"]
